//go:build acceptance && race

package acceptance_test

const race = true
