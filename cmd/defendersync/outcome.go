package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"defendersync/store"
	defsync "defendersync/sync"
)

// outcome is the exit of a command that made these passes. Where they differ,
// the one that asks the most of the reader decides.
func outcome(results []defsync.Result) error {
	var failed, held, partial causes
	for _, r := range results {
		switch {
		case elsewhere(r.Err):
			held.add(r, reason(r.Err))
		case r.Outcome == defsync.OutcomeInterrupted:
			return &exitError{exitInterrupted, errors.New("interrupted; the next run resumes")}
		case r.Outcome == defsync.OutcomeFailed:
			failed.add(r, reason(r.Err))
		case r.Outcome == defsync.OutcomePartial:
			partial.add(r, missing(r))
		}
	}
	switch {
	case failed != nil:
		return &exitError{exitFailed, errors.New(failed.String())}
	case held != nil:
		return &exitError{exitLocked, fmt.Errorf("try later: %s", held)}
	case partial != nil:
		advice := ""
		if slices.ContainsFunc(results, func(r defsync.Result) bool { return r.Gaps > 0 || r.Quarantined > 0 }) {
			advice = " (see sync.gaps and `defendersync quarantine`)"
		}
		return &exitError{exitPartial, fmt.Errorf("done, but not complete%s: %s", advice, partial)}
	}
	return nil
}

// elsewhere says whether a pass was not made, or not finished, because another
// worker has the tenant.
func elsewhere(err error) bool {
	return errors.Is(err, store.ErrLeaseHeld) || errors.Is(err, store.ErrFenced)
}

// told is a result's outcome in the summary, as sync.runs has it: a lease that
// was lost on the way is recorded as an interruption by whoever took it.
func told(r defsync.Result) string {
	switch {
	case errors.Is(r.Err, store.ErrLeaseHeld):
		return string(defsync.OutcomeLocked)
	case errors.Is(r.Err, store.ErrFenced):
		return string(defsync.OutcomeInterrupted)
	}
	return string(r.Outcome)
}

// missing is what keeps a pass from being complete.
func missing(r defsync.Result) string {
	var parts []string
	if r.Gaps > 0 {
		parts = append(parts, counted(r.Gaps, "gap"))
	}
	if r.Quarantined > 0 {
		parts = append(parts, counted(r.Quarantined, "record")+" in quarantine")
	}
	if r.Beyond > 0 {
		parts = append(parts, lasts(r.Beyond)+" older than the service keeps")
	}
	return strings.Join(parts, ", ")
}

// cause is one thing to say about streams of one tenant.
type cause struct {
	tenant, what string
	streams      []string
}

type causes []*cause

func (cs *causes) add(r defsync.Result, what string) {
	for _, c := range *cs {
		if c.tenant == r.Tenant && same(c.what, what) {
			c.streams = append(c.streams, r.Stream)
			return
		}
	}
	*cs = append(*cs, &cause{r.Tenant, what, []string{r.Stream}})
}

func (cs causes) String() string {
	var all []string
	for _, c := range cs {
		all = append(all, fmt.Sprintf("%s of %s: %s", listed(c.streams), c.tenant, c.what))
	}
	return strings.Join(all, "; ")
}

// listed writes names as a sentence has them: a, b and c.
func listed(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return join(names[:last]) + " and " + names[last]
}

// callName begins an error with what its stream's name says already.
var callName = regexp.MustCompile(`^(list (incidents|alerts)|run hunting query): `)

// reason is why a pass failed, each sentence once: a pass may have met the same
// answer several times. Who has the tenant is told without the tenant's ID.
func reason(err error) string {
	var held *store.HeldError
	switch {
	case errors.As(err, &held):
		return held.Error()
	case errors.Is(err, store.ErrFenced):
		return store.ErrFenced.Error()
	}
	var kept []string
	for _, s := range strings.Split(oneLine(err.Error()), "; ") {
		s = callName.ReplaceAllLiteralString(s, "")
		if !slices.ContainsFunc(kept, func(k string) bool { return same(k, s) }) {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, "; ")
}

// requestID differs from one answer to the next that says the same.
var requestID = regexp.MustCompile(` \(request-id [^)]*\)`)

func same(a, b string) bool {
	return requestID.ReplaceAllLiteralString(a, "") == requestID.ReplaceAllLiteralString(b, "")
}
