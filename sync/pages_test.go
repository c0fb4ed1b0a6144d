package sync

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"defendersync/store"
	"defendersync/sync/defender"
)

// turnLedger says when a page has been committed.
type turnLedger struct {
	*fakeLedger
	open *atomic.Int32
}

func (l turnLedger) Commit(ctx context.Context, c *store.Commit) (store.Checkpoint, store.Counts, error) {
	cp, n, err := l.fakeLedger.Commit(ctx, c)
	l.open.Store(0)
	return cp, n, err
}

// Between the request for a page and its commit no other stream of the tenant
// reads one. Two readings of an alert can carry the same version and another
// incident; read first and written last, the older one would stay.
func TestPagesOfATenantPassOneByOne(t *testing.T) {
	var open atomic.Int32 // pages read and not yet committed
	pages := make(chan struct{}, 1)
	var wg sync.WaitGroup
	for range 2 {
		b := newBench(t, &fakeSource{limit: 5, ordered: true, records: hourly(200)})
		b.ep.fetch = func(ctx context.Context, req defender.Request) (*defender.Page, error) {
			if !open.CompareAndSwap(0, 1) {
				t.Error("a page was asked for while another was read and not yet committed")
			}
			runtime.Gosched()
			return b.source.fetch(ctx, req)
		}
		p := &pass{course: b.course(), ep: b.ep, alerts: b.source.alerts, pages: pages}
		p.ledger, p.cp = turnLedger{b.ledger, &open}, store.Checkpoint{}
		wg.Go(func() {
			err := p.begin(b.source.now)
			if err == nil {
				err = p.read(context.Background())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A pass that waits for another's page, which may itself be waiting for minutes
// to be let in by the service, ends when it is told to.
func TestWaitForAPageEnds(t *testing.T) {
	b := newBench(t, &fakeSource{limit: 5, ordered: true, records: hourly(3)})
	p := &pass{course: b.course(), ep: b.ep, alerts: b.source.alerts, pages: make(chan struct{}, 1)}
	if err := p.begin(b.source.now); err != nil {
		t.Fatal(err)
	}
	p.pages <- struct{}{} // somebody else's
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.read(ctx); !errors.Is(err, context.Canceled) || b.source.requests > 0 {
		t.Errorf("%v after %d requests, want that it was canceled before the first", err, b.source.requests)
	}
}
