package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/kql"

	"github.com/go-json-experiment/json/jsontext"
)

// hunt asks a hunting stream's question about one minute, which costs the tenant
// next to nothing and tells whether it can be asked at all.
func (c caller) hunt(ctx context.Context, h *defsync.Hunt, now time.Time) error {
	until := now.Add(-time.Hour).Truncate(time.Minute)
	req := defender.HuntRequest{Since: until.Add(-time.Minute), Until: until, Attempts: 1}
	ask := func(query string) error {
		req.Query = query
		return c.inBudget(ctx, func(ctx context.Context) error {
			_, err := c.Hunt(ctx, req, ignore{})
			return err
		})
	}
	if h.Table != "" {
		return ask(kql.Scan{Table: h.Table, Time: h.TimeColumn, Since: req.Since, Until: req.Until}.CountText())
	}
	if h.Window == defsync.WindowTimespan {
		return ask(h.Query)
	}
	err := ask(kql.Parse(h.Query).Windowed(req.Since, req.Until))
	if _, rejected := errors.AsType[*defender.QueryError](err); rejected {
		return ask(h.Query) // as the worker does, should it be the prelude that is not liked
	}
	return err
}

// ignore is a sink for rows that nobody needs.
type ignore struct{}

func (ignore) Begin([]defender.HuntColumn) error                 { return nil }
func (ignore) Row([]jsontext.Value, []defender.HuntMember) error { return nil }
func (ignore) Odd([]byte) error                                  { return nil }

// huntAnswered says whether an error is what advanced hunting said to a query.
func huntAnswered(err error) bool {
	_, query := errors.AsType[*defender.QueryError](err)
	_, oversize := errors.AsType[*defender.OversizeError](err)
	return query || oversize
}

// huntFix says what to do about such an answer.
func huntFix(err error) string {
	rejected, ok := errors.AsType[*defender.QueryError](err)
	switch {
	case !ok:
		return "try again when the service is less busy; if it stays so, make the query cheaper"
	case rejected.Unresolved != "":
		return fmt.Sprintf("correct the name %s under streams.hunting, where case counts; "+
			"or, where the tenant has no licence for what fills it, remove the entry", rejected.Unresolved)
	}
	return "correct the query under streams.hunting: `defendersync query NAME --check` asks again"
}
