//go:build !plantunsuppressed

package dispatch

// unsuppressed is true only in a build with the tag plantunsuppressed: its pushes
// go out whatever the user did meanwhile. The acceptance test that looks for such
// pushes is tried with it.
const unsuppressed = false
