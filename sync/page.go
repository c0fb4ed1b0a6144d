package sync

import (
	"context"
	"time"

	"defendersync/store"
)

// StreamRun is one row of sync.runs with the stream that it was of.
type StreamRun struct {
	Stream string
	RunStatus
}

// ReadRuns returns the newest limit runs over all streams of each tenant, newest
// first, by tenant id.
func ReadRuns(ctx context.Context, s *store.Store, tenants []Tenant, limit int) (map[string][]StreamRun, error) {
	all := make(map[string][]StreamRun)
	for _, t := range tenants {
		var names []string
		for _, stream := range t.Streams {
			names = append(names, stream.Name)
		}
		runs, err := s.RecentRuns(ctx, t.ID, names, limit)
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			all[t.ID] = append(all[t.ID], StreamRun{r.Stream, *runStatus(&r)})
		}
	}
	return all, nil
}

// IncidentFigures is what became of a tenant's incidents, in numbers.
type IncidentFigures struct {
	Days    []store.IncidentDay // every day, the last one being today, days without incidents included
	Backlog []store.Backlog     // what is open, the worst first, severities without open incidents included
}

// severities are in the order in which an analyst looks at them.
var severities = [...]string{"high", "medium", "low", "informational"}

// ReadIncidents counts the incidents of each tenant that were opened and
// resolved on the given number of days up to now, and those that are open, by
// tenant id.
func ReadIncidents(ctx context.Context, s *store.Store, tenants []Tenant, days int, now time.Time) (map[string]IncidentFigures, error) {
	since := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-days)
	all := make(map[string]IncidentFigures)
	for _, t := range tenants {
		byDay, open, err := s.IncidentFigures(ctx, t.ID, since)
		if err != nil {
			return nil, err
		}
		all[t.ID] = IncidentFigures{everyDay(byDay, since, days), everySeverity(open)}
	}
	return all, nil
}

// everyDay puts the days that have incidents among those that have none.
func everyDay(some []store.IncidentDay, since time.Time, days int) []store.IncidentDay {
	all := make([]store.IncidentDay, days)
	for i := range all {
		all[i].Day = since.AddDate(0, 0, i)
	}
	for _, d := range some {
		if i := int(d.Day.Sub(since) / (24 * time.Hour)); i >= 0 && i < days { // a source's clock may be ahead
			all[i].Opened, all[i].Resolved = d.Opened, d.Resolved
		}
	}
	return all
}

// everySeverity is in order of severity; one that the source made up comes last.
func everySeverity(some []store.Backlog) []store.Backlog {
	open := make(map[string]store.Backlog)
	for _, b := range some {
		open[b.Severity] = b
	}
	var all []store.Backlog
	for _, name := range severities {
		b := open[name]
		b.Severity = name
		all = append(all, b)
		delete(open, name)
	}
	for _, b := range some {
		if _, other := open[b.Severity]; other {
			all = append(all, b)
		}
	}
	return all
}
