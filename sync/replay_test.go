package sync

import (
	"context"
	"testing"

	"defendersync/sync/defender"
	"defendersync/sync/translate"

	"github.com/go-json-experiment/json/jsontext"
)

// pagedAlerts is a source whose incidents have alerts that come by a call of
// their own, in two pages.
type pagedAlerts struct {
	Source
	partial bool // the second page is a 206
}

func (s pagedAlerts) IncidentAlerts(_ context.Context, id, next string) (*defender.Page, error) {
	alert := jsontext.Value(`{"id":"` + id + next + `","lastUpdateDateTime":"2026-11-20T11:00:00Z"}`)
	if next == "" {
		return &defender.Page{Records: []jsontext.Value{alert}, Next: "second"}, nil
	}
	return &defender.Page{Records: []jsontext.Value{alert}, Incomplete: s.partial}, nil
}

// An incident that is replayed brings all of its alerts, also those that it
// came without, or stays where it is.
func TestReplayBringsTheRestOfTheAlerts(t *testing.T) {
	for _, partial := range []bool{false, true} {
		tenant := &tenantState{Tenant: Tenant{ID: "11111111-1111-4111-8111-111111111111", Source: pagedAlerts{partial: partial}}}
		tr := translate.Rows{Partial: []string{"7"}}
		err := tenant.rest(t.Context(), &tr, fakeNow)
		if partial != (err != nil) || !partial && len(tr.Alerts) != 2 {
			t.Errorf("206 %v: %d alerts and error %v", partial, len(tr.Alerts), err)
		}
	}
}
