package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// app is what the commands share: the standard streams and the global flags.
type app struct {
	stdin          *os.File
	stdout, stderr *os.File
	env            environment
	screen         *screen // stderr, for logs and progress

	configPath, logLevel, logFormat string
}

// execute runs the command that args name. Whatever cobra itself refuses is a
// usage error; a command's own error passes as it is.
func (a *app) execute(ctx context.Context, args []string) error {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var own *commandError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own.error
	}
	return usageErrorf("%s (see %s --help)", err, cmd.CommandPath())
}

// commandError marks an error as a command's own.
type commandError struct{ error }

func (e *commandError) Unwrap() error { return e.error }

// own makes a command function's errors its own, to tell them from cobra's.
func own(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := f(cmd, args); err != nil {
			return &commandError{err}
		}
		return nil
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "defendersync",
		Short:         "Keep a PostgreSQL copy of Microsoft 365 Defender incidents, alerts and advanced hunting",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommandOnly,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: own(func(*cobra.Command, []string) error {
			_, err := a.logger()
			return err
		}),
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.configPath, "config", "config.yaml", "configuration file")
	flags.StringVar(&a.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&a.logFormat, "log-format", "auto", "auto, text or json; auto is text on a terminal")
	root.AddCommand(
		a.runCommand(), a.syncCommand(), a.backfillCommand(), a.reconcileCommand(), a.queryCommand(), a.statusCommand(), a.doctorCommand(), a.migrateCommand(), a.quarantineCommand(),
		a.demoCommand(), a.configCommand(), a.consentURLCommand(), a.healthCommand(), a.versionCommand(),
	)
	tightenCobra(root)
	return root
}

// tightenCobra makes the two commands that cobra itself adds refuse arguments
// that they would otherwise answer with their help and exit 0.
func tightenCobra(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args = subcommandOnly
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err == nil {
				err = subcommandOnly(about, rest)
			}
			if err != nil {
				return err
			}
			return about.Help()
		},
	})
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  subcommandOnly,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// subcommandOnly refuses the argument that is no command's name.
func subcommandOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	known := make([]string, 0, len(cmd.Commands()))
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	if near := nearest(args[0], known); near != "" {
		return fmt.Errorf("unknown command %q: did you mean %s?", args[0], near)
	}
	return fmt.Errorf("unknown command %q: known are %s", args[0], strings.Join(known, ", "))
}

// noArguments refuses any.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q: none is taken", args[0])
	}
	return nil
}

// config reads the configuration that the flags name.
func (a *app) config() (*config, error) {
	c, err := loadConfig(a.configPath, a.env, time.Now())
	var ps problems
	if err != nil && !errors.As(err, &ps) {
		return nil, &exitError{exitUsage, err}
	}
	return c, err
}
