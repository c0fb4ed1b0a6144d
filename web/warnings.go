package web

import (
	"fmt"
	"time"

	defsync "defendersync/sync"
)

// warning is something that somebody should know of, and what can be done.
// Command is one to run, where there is one.
type warning struct{ Subject, Text, Advice, Command string }

// leastExpiring is the part of an hour from which on a loss is worth a word.
const leastExpiring = 0.05

// tenantWarnings is what is wrong with a tenant, its streams last.
func tenantWarnings(t defsync.TenantStatus, now time.Time) []warning {
	var all []warning
	if until := t.Quota.BlockedUntil; until != nil {
		all = append(all, warning{t.Name, fmt.Sprintf("is not called before %s UTC (%s): the service asked for the wait.",
			moment(*until, now), fromNow(*until, now)), "The worker goes on by itself.", ""})
	}
	if t.Quota.PerHour > 0 && t.Quota.RemainingHour == 0 {
		all = append(all, warning{t.Name, fmt.Sprintf("has used all %s calls for incidents and alerts of this hour.", grouped(int64(t.Quota.PerHour))),
			"The worker waits and goes on by itself.", ""})
	}
	if h := t.Hunting; h != nil && h.BlockedUntil != nil {
		all = append(all, warning{t.Name, fmt.Sprintf("hunting is paused until %s UTC (%s): the service said that the tenant's allotment, as of CPU time, is used up.",
			moment(*h.BlockedUntil, now), fromNow(*h.BlockedUntil, now)), "The worker goes on by itself.", ""})
	}
	for _, s := range t.Streams {
		all = append(all, streamWarnings(s, t.Name+" · "+s.Stream, now)...)
	}
	return all
}

func streamWarnings(s defsync.StreamStatus, subject string, now time.Time) []warning {
	var all []warning
	add := func(text, advice string) { all = append(all, warning{subject, text, advice, ""}) }
	failed := s.LastRun != nil && s.LastRun.Outcome == string(defsync.OutcomeFailed)
	late := ""
	if s.Stale && !catchingUp(s) {
		late = lateness(s)
	}
	switch {
	case failed:
		add(fmt.Sprintf("the last run failed %s: %s", fromNow(ended(s.LastRun), now), closed(s.LastRun.Error)), nextTry(s, now)+late)
	case late != "":
		add(late, "The worker's log says more.")
	}
	for _, w := range s.Warnings {
		if w.Kind != defsync.WarningExpiring { // below, with its command apart
			add(closed(w.Text), "")
		}
	}
	if n := len(s.Gaps); n > 0 {
		add(fmt.Sprintf("%s missing, %s together.", isOrAre(n, "range"), length(gapsLength(s.Gaps))), "Later passes read them again by themselves.")
	}
	if s.Quarantine > 0 {
		all = append(all, warning{subject, count(s.Quarantine, "record") + " could not be stored.", "To list them:", "defendersync quarantine list"})
	}
	if s.ExpiringHours >= leastExpiring {
		text := fmt.Sprintf("%.1f hours that were not read fall over the 30-day edge within three days.", s.ExpiringHours)
		all = append(all, warning{subject, text, "To read them now:", "defendersync backfill " + s.Stream + " --from 30d"})
	}
	if r := s.Reconciled; r != nil && r.Outcome == string(defsync.OutcomeFailed) {
		add(fmt.Sprintf("could not be compared with its source %s: %s", fromNow(ended(r), now), closed(r.Error)), "")
	} else if r != nil && r.Outcome == string(defsync.OutcomePartial) {
		add(fmt.Sprintf("still differed from its source when it was compared %s.", fromNow(ended(r), now)), "See sync.reconciliations.")
	}
	return all
}

// lateness is what a stale stream has to say for itself.
func lateness(s defsync.StreamStatus) string {
	if s.LagSeconds == nil {
		return "Nothing has been stored yet."
	}
	return fmt.Sprintf("No pass has ended for three firings of the schedule; the lag is %s.", length(seconds(*s.LagSeconds)))
}

// catchingUp says whether a stream that no pass of has ended lately is at work,
// or has its first pass before it.
func catchingUp(s defsync.StreamStatus) bool {
	if s.LastRun == nil {
		return s.NextRun != nil
	}
	return s.LastRun.Outcome == string(outcomeRunning) && (s.InPass || s.Watermark == nil)
}

func nextTry(s defsync.StreamStatus, now time.Time) string {
	if s.NextRun == nil {
		return ""
	}
	return "Tried again " + fromNow(*s.NextRun, now) + ". "
}

// ended is when a run ended, or began where it has not ended.
func ended(r *defsync.RunStatus) time.Time {
	if r.FinishedAt != nil {
		return *r.FinishedAt
	}
	return r.StartedAt
}

func isOrAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return count(n, noun) + " are"
}
