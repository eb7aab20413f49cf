package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

const exitCodes = "Exit codes: 0 done · 1 failed · 2 called wrongly."

// help lists the commands.
func (e *env) help(w io.Writer) {
	fmt.Fprint(w, "Carillon rings every device of a person, and silences all of them as soon as one is answered.\n\nUsage: carillon COMMAND [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-16s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\n`carillon COMMAND --help` shows a command's flags and examples; every command takes --json.\n"+exitCodes+"\n")
}

// helpOn is `carillon help [COMMAND]`.
func (e *env) helpOn(args []string) int {
	if len(args) == 0 {
		e.help(e.stdout)
		return exitOK
	}
	c, rest, err := choose(args)
	if err == nil {
		err = none(rest)
	}
	if err != nil {
		return e.fail("carillon help", err)
	}
	c.help(e.stdout)
	return exitOK
}

// help shows a command's usage, flags and examples.
func (c *command) help(w io.Writer) {
	fmt.Fprintf(w, "carillon %s: %s.\n\nUsage: carillon %s\n", c.name, c.summary, strings.TrimSpace(c.name+" "+c.args))
	if c.about != "" {
		fmt.Fprintf(w, "\n%s\n", c.about)
	}
	fs, _ := c.flags()
	fs.Bool("json", false, "answer in JSON")
	fmt.Fprint(w, "\nFlags:\n")
	fs.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  %-22s %s", strings.TrimSpace("--"+f.Name+" "+kind), usage)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			fmt.Fprintf(w, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(w)
	})
	fmt.Fprint(w, "\nExamples:\n")
	for _, line := range c.examples {
		fmt.Fprintf(w, "  %s\n", line)
	}
	fmt.Fprint(w, "\n"+exitCodes+"\n")
}
