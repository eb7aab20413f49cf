package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// env is what a command may touch of the world, so that tests run commands in
// their own process.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // NAME=value

	json bool // --json was given
}

// runner does the work of a command, with the arguments that are no flags.
type runner func(ctx context.Context, e *env, args []string) error

// command is one line of `carillon help`.
type command struct {
	name    string // "token", "config print"
	args    string // what follows the name, as in "--user USER [--app HOST]"
	summary string // one line, no full stop
	about   string // more lines; may be empty
	// examples are whole command lines, with a comment line above where needed.
	examples []string
	// setup declares the flags and gives what runs after they are parsed. A
	// command without flags ignores fs.
	setup func(fs *flag.FlagSet) runner
}

// usageError is a fault of how the command was called: exit code 2.
type usageError struct{ message string }

// Error is the message.
func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// run finds the command, runs it and tells its fault. The result is the exit
// code.
func (e *env) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		e.help(e.stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "--help", "-help", "-h":
		return e.helpOn(args[1:])
	case "--version", "-version":
		args[0] = "version"
	}
	c, rest, err := choose(args)
	if err != nil {
		return e.fail("carillon", err)
	}
	return e.fail("carillon "+c.name, e.call(ctx, c, rest))
}

// choose finds the command with the longest name that args begin with.
func choose(args []string) (*command, []string, error) {
	all := commands()
	for words := min(2, len(args)); words > 0; words-- {
		name := strings.Join(args[:words], " ")
		if i := slices.IndexFunc(all, func(c command) bool { return c.name == name }); i >= 0 {
			return &all[i], args[words:], nil
		}
	}
	var below []string
	for _, c := range all {
		if strings.HasPrefix(c.name, args[0]+" ") {
			below = append(below, c.name)
		}
	}
	if len(below) > 0 {
		return nil, nil, usagef("say which: carillon %s", strings.Join(below, ", carillon "))
	}
	return nil, nil, usagef("there is no command %q; `carillon help` lists them", args[0])
}

// call parses the flags, which may stand before and after other arguments, and
// runs the command.
func (e *env) call(ctx context.Context, c *command, args []string) error {
	fs, run := c.flags()
	fs.BoolVar(&e.json, "json", false, "answer in JSON")
	var words []string
	for {
		err := fs.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			c.help(e.stdout)
			return nil
		}
		if err != nil {
			return usagef("%v", err)
		}
		rest := fs.Args()
		if len(rest) == 0 {
			break
		}
		if at := len(args) - len(rest); at > 0 && args[at-1] == "--" {
			words = append(words, rest...)
			break
		}
		words, args = append(words, rest[0]), rest[1:]
	}
	err := run(ctx, e, words)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // a signal ended it, as asked
	}
	return err
}

func (c *command) flags() (*flag.FlagSet, runner) {
	fs := flag.NewFlagSet("carillon "+c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs, c.setup(fs)
}

// fail tells err, if any, and gives the exit code that belongs to it.
func (e *env) fail(who string, err error) int {
	if err == nil {
		return exitOK
	}
	code, word := exitFailed, "failed"
	if _, ok := errors.AsType[*usageError](err); ok {
		code, word = exitUsage, "usage"
	}
	if e.json {
		_ = json.NewEncoder(e.stderr).Encode(map[string]any{"error": map[string]string{"code": word, "message": err.Error()}})
		return code
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(e.stderr, "%s: %s\n", who, line)
	}
	if code == exitUsage {
		fmt.Fprintf(e.stderr, "`%s --help` shows how it is called.\n", who)
	}
	return code
}

// answer prints the result of a command: v as JSON with --json, else by text.
func (e *env) answer(v any, text func(w io.Writer)) error {
	if !e.json {
		text(e.stdout)
		return nil
	}
	enc := json.NewEncoder(e.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// none is for commands that take no other arguments than flags.
func none(args []string) error {
	if len(args) > 0 {
		return usagef("%q is one argument too many", args[0])
	}
	return nil
}
