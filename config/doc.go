// Package config gathers the Config of every room into one, from a YAML file,
// CARILLON_* variables and the command line, in this order.
//
// In come text and the rooms' own types, whose yaml tags are the keys: nothing
// is listed twice. Out goes a [Config] or everything that is wrong with it, each
// fault with its place (file:line, variable or flag) and the key's path. [Print]
// shows the effective configuration with its secrets redacted. The package runs
// nothing, so there is nothing to stop.
package config
