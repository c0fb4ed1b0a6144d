// Command defendersync keeps a PostgreSQL copy of a Microsoft 365 Defender
// tenant. This package holds flags, the configuration file, wiring, signals
// and exit codes, one file per command, and decides nothing.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // CRON_TZ= works where the machine has no zone files
)

func main() { os.Exit(run()) }

// run is the process: the first SIGINT or SIGTERM cancels, the second kills.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: processEnvironment(), screen: newScreen(os.Stderr)}
	return exitCode(ctx, a.execute(ctx, os.Args[1:]), os.Stderr)
}
