package sync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
)

var _ Hunter = (*defender.Client)(nil)

// newHunt begins a pass of a hunting stream.
func (w *Worker) newHunt(ctx context.Context, e errand) (reading, error) {
	c, err := w.newCourse(ctx, e)
	if err != nil {
		return nil, err
	}
	rows := w.cfg.Store.NewHuntRows(e.stream.Hunt.spec(e.tenant.ID))
	if e.stream.Hunt.Mode != ModeEvents {
		p := &whole{course: c, hunt: e.stream.Hunt, source: e.tenant.Hunter, rows: rows}
		if err := p.begin(e.run.StartedAt); err != nil {
			return p, err
		}
		p.decided = p.decided || e.tenant.Dialect == defender.Older // without a prelude nothing limits the query
		return p, p.recall(ctx, w.cfg.Store)
	}
	p := &hunting{course: c, hunt: e.stream.Hunt, source: e.tenant.Hunter, rows: rows}
	if err := p.begin(e.run.StartedAt); err != nil {
		return p, err
	}
	p.decided = p.decided || e.tenant.Dialect == defender.Older // without a prelude each window would be all of the 30 days
	return p, p.recall(ctx, w.cfg.Store)
}

func (h *hunting) close() { _ = h.rows.Close() } // the file of a spool, which is gone with the process in any case

func (h *whole) close() { _ = h.rows.Close() }

// sight is how far back something can still be read.
func (h *hunting) sight() time.Time { return later(edgeAt(h.now()).Add(edgeMargin), h.horizon()) }

// recall looks up whether the service has rejected the prelude before.
func (h *hunting) recall(ctx context.Context, s *store.Store) error {
	h.oldest = h.sight()
	if h.decided {
		return nil
	}
	var err error
	if h.bare, err = rejectedBefore(ctx, s, h.cp.TenantID, preludeChange(h.stream, "")); h.bare {
		h.decided = true
		h.align()
	}
	return err
}

// recall looks up whether the service has rejected the prelude before.
func (h *whole) recall(ctx context.Context, s *store.Store) (err error) {
	if h.decided {
		return nil
	}
	h.bare, err = rejectedBefore(ctx, s, h.cp.TenantID, preludeChange(h.stream, ""))
	h.decided = h.bare
	return err
}

// rejectedBefore says whether the change is on record, for whatever reason.
func rejectedBefore(ctx context.Context, s *store.Store, tenantID string, ours store.SchemaChange) (bool, error) {
	known, err := s.SchemaChanges(ctx, tenantID, ours.Object)
	return slices.ContainsFunc(known, func(c store.SchemaChange) bool { return c.Change == ours.Change && c.Property == ours.Property }), err
}

// preludeRejected is what sync.schema_changes says of a query that the service
// takes only as it was written.
const preludeRejected = "prelude_rejected"

// preludeChange is the record of a query that the service takes only as it was
// written. It is about this text: another one is tried again.
func preludeChange(s Stream, reason string) store.SchemaChange {
	sum := sha256.Sum256([]byte(s.Hunt.Query))
	return store.SchemaChange{Object: s.Name, Property: "query " + hex.EncodeToString(sum[:8]), Change: preludeRejected, Detail: reason}
}

// retain drops what is older than the stream's retention.
func (w *Worker) retain(ctx context.Context, e errand) error {
	if e.stream.Hunt == nil || e.stream.Hunt.Retention == 0 {
		return nil
	}
	before := micro(w.cfg.Now().Add(-e.stream.Hunt.Retention))
	n, err := w.cfg.Store.HuntRetain(ctx, e.lease, e.stream.Hunt.spec(e.tenant.ID), before)
	if n > 0 {
		w.logOf(e).Info("dropped rows that are older than the retention", "rows", n, "before", before)
	}
	return err
}
