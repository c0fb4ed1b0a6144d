package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"defendersync/store/pglocal"
)

// Exit codes, as the contract has them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitPartial     = 3
	exitLocked      = 75
	exitInterrupted = 130
)

// exitError ends the process with a code. A nil err says nothing more: the
// command has already told.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageErrorf is a wrong argument: exit 2, before anything was touched.
func usageErrorf(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode reports err on w, in one line each for what it joins, and answers
// the process's exit code.
func exitCode(ctx context.Context, err error, w io.Writer) int {
	var e *exitError
	var ps problems
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ps):
		fmt.Fprintln(w, ps)
		return exitUsage
	case errors.As(err, &e):
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		e = &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	default:
		e = &exitError{exitFailed, err}
	}
	if e.err == nil {
		return e.code
	}
	message := oneLine(e.err.Error())
	if errors.Is(e.err, pglocal.ErrNoBinaries) {
		message = e.err.Error() // a list of ways out, on lines of their own
	}
	fmt.Fprintln(w, "defendersync: "+message)
	return e.code
}

// counted is a number with its noun: 1 record, 2 records.
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// oneLine joins the lines of a text, which several joined errors have.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
