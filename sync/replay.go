package sync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/translate"

	"github.com/go-json-experiment/json/jsontext"
)

// Replayed is what came of one quarantined record.
type Replayed struct {
	ID     string
	Stored bool
	Err    error // why it is still in quarantine
}

// Replay tries to store quarantined records again: a record from its own bytes,
// alerts and answers that could not be read by asking the source once more.
// What succeeds leaves the quarantine; what does not counts an attempt, unless
// there is nothing to try: then the error is a [*store.UnstorableError].
func (w *Worker) Replay(ctx context.Context, rows []store.QuarantineRow) []Replayed {
	out := make([]Replayed, 0, len(rows))
	for _, row := range rows {
		err := w.replay(ctx, row)
		out = append(out, Replayed{ID: row.ID, Stored: err == nil, Err: err})
	}
	return out
}

// Discard takes a record out of quarantine that was not stored.
func (w *Worker) Discard(ctx context.Context, row store.QuarantineRow) error {
	t := w.tenant(row.TenantID)
	if t == nil {
		return fmt.Errorf("tenant %s is not in the configuration", row.TenantID)
	}
	ctx, lease, release, err := w.await(ctx, t)
	if err != nil {
		return err
	}
	defer release()
	w.cfg.Log.Warn("discarded a record that was in quarantine", "tenant", t.Name, "stream", row.Stream, "id", row.ID, "kind", row.Kind, "reason", row.Reason)
	_, err = w.cfg.Store.Replay(ctx, store.Replay{Lease: lease, ID: row.ID})
	return err
}

func (w *Worker) replay(ctx context.Context, row store.QuarantineRow) error {
	t := w.tenant(row.TenantID)
	if t == nil {
		return fmt.Errorf("tenant %s is not in the configuration", row.TenantID)
	}
	ctx, lease, release, err := w.await(ctx, t)
	if err != nil {
		return err
	}
	defer release()
	if strings.HasPrefix(row.Stream, huntingPrefix) {
		return w.replayHunt(ctx, errand{lease: lease, tenant: t}, row)
	}
	_, err = w.restore(ctx, errand{lease: lease, tenant: t}, row)
	return err
}

// restore stores one record of incidents or alerts again, or counts the attempt.
func (w *Worker) restore(ctx context.Context, e errand, row store.QuarantineRow) (counts store.Counts, err error) {
	t := e.tenant
	done, err := takeTurn(ctx, t.pages)
	if err != nil {
		return counts, err
	}
	defer done()
	tr, err := w.reread(ctx, t, row)
	if err == nil {
		err = t.rest(ctx, &tr, micro(w.cfg.Now()))
	}
	if err == nil && len(tr.Quarantine) > 0 {
		err = errors.New(tr.Quarantine[0].Reason)
	}
	if err == nil {
		counts, err = w.cfg.Store.Replay(ctx, store.Replay{Lease: e.lease, ID: row.ID, Incidents: tr.Incidents, Alerts: tr.Alerts})
	}
	if err == nil || ctx.Err() != nil {
		return counts, err
	}
	return counts, errors.Join(err, w.cfg.Store.QuarantineFailed(ctx, t.ID, row.ID, err.Error()))
}

func (w *Worker) tenant(id string) *tenantState {
	for _, t := range w.tenants {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// reread turns a quarantine row into rows once more.
func (w *Worker) reread(ctx context.Context, t *tenantState, row store.QuarantineRow) (translate.Rows, error) {
	at := micro(w.cfg.Now())
	record := []jsontext.Value{jsontext.Value(row.Payload)}
	switch row.Kind {
	case translate.KindIncident:
		return translate.Incidents(payloadDialect(row.Payload, t.Dialect), t.ID, record, at), nil
	case translate.KindAlert:
		if payloadDialect(row.Payload, t.Dialect) == defender.Older {
			return translate.Rows{}, errors.New("an alert of the older API is replayed with its incident: it comes again when the incident changes")
		}
		return translate.Alerts(t.ID, record, at), nil
	case kindIncidentAlerts:
		return t.rereadAlerts(ctx, row.Key, at)
	case kindResponse:
		return t.rereadWindow(ctx, row, at)
	}
	return translate.Rows{}, fmt.Errorf("quarantine row of unknown kind %q", row.Kind)
}

// payloadDialect tells by the name of its key which API served a record: the
// tenant may have been moved to the other one since.
func payloadDialect(payload []byte, otherwise defender.Dialect) defender.Dialect {
	var keys map[string]json.RawMessage
	if json.Unmarshal(payload, &keys) != nil {
		return otherwise
	}
	_, incident := keys["incidentName"]
	_, alert := keys["alertId"]
	_, older := keys["lastUpdateTime"]
	if incident || alert || older {
		return defender.Older
	}
	if _, graph := keys["lastUpdateDateTime"]; graph {
		return defender.Graph
	}
	return otherwise
}

// rest adds the alerts of incidents that do not come with all of theirs.
func (t *tenantState) rest(ctx context.Context, tr *translate.Rows, at time.Time) error {
	for _, id := range tr.Partial {
		more, err := t.rereadAlerts(ctx, id, at)
		if err != nil {
			return err
		}
		tr.Alerts = append(tr.Alerts, more.Alerts...)
		tr.Quarantine = append(tr.Quarantine, more.Quarantine...)
	}
	return nil
}

func (t *tenantState) rereadAlerts(ctx context.Context, id string, at time.Time) (translate.Rows, error) {
	var all translate.Rows
	for next := ""; ; {
		page, err := t.Source.IncidentAlerts(ctx, id, next)
		if err == nil && page.Incomplete {
			err = errors.New(partialReason)
		}
		if err != nil {
			return all, err
		}
		tr := translate.Alerts(t.ID, page.Records, at)
		all.Alerts = append(all.Alerts, tr.Alerts...)
		all.Quarantine = append(all.Quarantine, tr.Quarantine...)
		if next = page.Next; next == "" {
			return all, nil
		}
	}
}

// rereadWindow asks again for the window whose answer could not be read.
func (t *tenantState) rereadWindow(ctx context.Context, row store.QuarantineRow, at time.Time) (translate.Rows, error) {
	w, _, err := parseWindowKey(row.Key)
	if err != nil {
		return translate.Rows{}, err
	}
	ep, err := t.endpoint(row.Stream)
	if err != nil {
		return translate.Rows{}, err
	}
	page, err := ep.fetch(ctx, defender.Request{Since: w.since, Until: w.until, Top: ep.limit})
	if err != nil {
		return translate.Rows{}, err
	}
	if page.Incomplete {
		return translate.Rows{}, errors.New(partialReason)
	}
	if page.Next != "" || len(page.Records) >= ep.limit {
		return translate.Rows{}, errors.New("the window holds more than one answer: the next pass reads it as a gap")
	}
	return ep.translate(page.Records, at), nil
}
