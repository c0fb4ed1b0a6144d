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
	terminal := a.screen.terminal
	switch {
	case a.logFormat == "json", a.logFormat == "auto" && !terminal:
		return slog.New(slog.NewJSONHandler(a.screen, &slog.HandlerOptions{Level: level, ReplaceAttr: readableDuration})), nil
	case a.logFormat == "text", a.logFormat == "auto":
		return slog.New(tint.NewTextHandler(a.screen, &tint.Options{Level: level, NoColor: !terminal || !coloured(a.env), TimeFormat: "15:04:05"})), nil
	}
	return nil, usageErrorf("--log-format: %q is not known; write auto, text or json", a.logFormat)
}

// readableDuration writes durations as 1.5s, where JSON would have nanoseconds.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
