// Command carillon is the whole gateway in one binary: `carillon serve` runs it,
// the other commands ask it or prepare something for it.
//
// In come arguments, CARILLON_* variables and a configuration file; out go
// readable text, or JSON with --json. SIGINT and SIGTERM end a command in an
// orderly way; a second one ends it at once.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(process()) }

// process runs the command of this process's arguments and gives its exit code.
func process() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal is not caught
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
	return e.run(ctx, os.Args[1:])
}

// commands is the table of what the binary can do, in the order of `carillon
// help`. A name of two words is a command below a command.
func commands() []command {
	return []command{
		serveCommand(),
		demoCommand(),
		benchCommand(), benchPushCommand(), benchH2Command(), benchClearsCommand(),
		tokenCommand(),
		appListCommand(),
		appShowCommand(),
		appAddCommand(), appQuotaCommand(),
		appCredentialCommand(),
		appPauseCommand(),
		appResumeCommand(),
		appRemoveCommand(),
		castSendCommand(), castListCommand(), castShowCommand(),
		castPauseCommand(), castResumeCommand(), castPaceCommand(), castCancelCommand(), castRecallCommand(),
		whyCommand(),
		auditCommand(),
		backupCommand(),
		restoreCommand(),
		endpointImportCommand(),
		endpointExportCommand(),
		userExportCommand(),
		userEraseCommand(),
		configPrintCommand(),
		sandboxCommand(),
		sandboxClockCommand(),
		sandboxDeviceCommand(),
		sandboxAddressCommand(),
		sandboxFaultCommand(),
		sandboxActCommand(),
		sandboxConductCommand(),
		devCertCommand(),
		versionCommand(),
	}
}
