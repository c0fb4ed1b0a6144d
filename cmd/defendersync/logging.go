package main

import (
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// logger writes to stderr, in the format and from the level that the flags name.
func (a *app) logger() (*slog.Logger, error) {
	var level slog.Level
	switch a.logLevel {
	case "debug", "info", "warn", "error":
		if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
			return nil, err
		}
	default:
		return nil, usageErrorf("--log-level: %q is not known; write debug, info, warn or error", a.logLevel)
	}
	terminal := isTerminal(a.stderr)
	switch {
	case a.logFormat == "json", a.logFormat == "auto" && !terminal:
		return slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level})), nil
	case a.logFormat == "text", a.logFormat == "auto":
		return slog.New(tint.NewHandler(a.stderr, &tint.Options{Level: level, NoColor: !terminal, TimeFormat: "15:04:05"})), nil
	}
	return nil, usageErrorf("--log-format: %q is not known; write auto, text or json", a.logFormat)
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
