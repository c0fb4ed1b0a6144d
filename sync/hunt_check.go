package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// QueryCheck is what one tenant's service says of a hunting stream.
type QueryCheck struct {
	Tenant, Stream string
	Plan           store.HuntPlan // what the answer would come to in the table
	Problems       []string       // what in the configuration does not fit it
	Err            error          // why the service, or the database, would not answer
}

// CheckQuery asks for the response schema of a hunting stream, over one minute,
// and compares the stream's configuration and its table with it. It stores nothing.
func (w *Worker) CheckQuery(ctx context.Context, tenant, stream string) []QueryCheck {
	var all []QueryCheck
	w.each(tenant, []string{stream}, func(t *tenantState, s Stream) {
		if s.Hunt != nil {
			all = append(all, w.check(ctx, t, s))
		}
	})
	return all
}

func (w *Worker) check(ctx context.Context, t *tenantState, s Stream) QueryCheck {
	c := QueryCheck{Tenant: t.Name, Stream: s.Name}
	until := micro(w.cfg.Now().Add(-s.Settle)).Truncate(time.Second)
	h := &hunting{hunt: s.Hunt, bare: s.Hunt.byTimespan()}
	win := span{until.Add(-time.Minute), until}
	ask := func() (*defender.HuntAnswer, error) {
		return t.Hunter.Hunt(ctx, defender.HuntRequest{Query: h.text(win, noSlice), Since: win.since, Until: win.until}, nothing{})
	}
	a, err := ask()
	var query *defender.QueryError
	if errors.As(err, &query) && s.Hunt.query != nil && !h.bare && t.Dialect == defender.Graph {
		h.bare = true // the prelude may be what is rejected; a stream goes on without
		if bare, bareErr := ask(); bareErr == nil {
			a, err = bare, nil
		}
	}
	if err != nil {
		c.Err = explainHunt(s.Hunt, err)
		return c
	}
	var columns []store.HuntColumn
	for _, col := range a.Columns {
		columns = append(columns, store.HuntColumn(col))
	}
	c.Problems = s.Hunt.problems(columns)
	c.Plan, c.Err = w.cfg.Store.PlanHunt(ctx, s.Hunt.spec(t.ID), columns)
	if c.Plan.Refused != nil {
		c.Problems = append(c.Problems, c.Plan.Refused.Error())
	}
	return c
}

// problems says what the configuration names and the answer does not have.
func (h *Hunt) problems(columns []store.HuntColumn) []string {
	var all []string
	for _, of := range []struct {
		setting string
		names   []string
	}{{"key", h.Key}, {"columns.drop", h.Drop}, {"columns.hash", h.Hash}, {"time_column", []string{h.TimeColumn}}} {
		for _, name := range of.names {
			dropped := of.setting == "columns.drop" && h.Table != "" // and so not in the answer
			if name != "" && !served(columns, name) && !dropped {
				all = append(all, fmt.Sprintf("%s names %s, which the answer does not have", of.setting, name))
			}
		}
	}
	return all
}

// nothing is a sink that lets rows go.
type nothing struct{}

func (nothing) Begin([]defender.HuntColumn) error                 { return nil }
func (nothing) Row([]jsontext.Value, []defender.HuntMember) error { return nil }
func (nothing) Odd([]byte) error                                  { return nil }
