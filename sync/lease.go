package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"defendersync/store"
)

// A tenant is held by a lease of leaseTTL that its holder renews every
// leaseBeat; one that stopped doing so is taken over when the lease ends.
//
// A renewal waits while a commit of our own holds the lease's row, and a commit
// may take longer than the lease: nobody else can take the row meanwhile. So a
// renewal that does not come through is waited for until leasePatience. That
// is safe, since every commit checks the fence and every call is put on record
// in the same database first.
const (
	leaseTTL      = 15 * time.Second
	leaseBeat     = 5 * time.Second
	leasePatience = time.Minute
)

// leaser is where leases are kept. *store.Store implements it.
type leaser interface {
	Acquire(ctx context.Context, tenantID, owner string, ttl time.Duration) (store.Lease, error)
	Renew(ctx context.Context, lease store.Lease, ttl time.Duration) error
	Release(ctx context.Context, lease store.Lease) error
}

// errSilent means that the database has not answered for as long as patience lasts.
var errSilent = errors.New("the database does not answer")

// keeper holds one tenant's lease for as long as any of its streams is in a
// pass. Quotas are the tenant's, so all its streams share one lease.
type keeper struct {
	leases   leaser
	tenantID string
	owner    string
	patience time.Duration
	taken    func(context.Context) error // called with the lease just taken; may be nil

	mu    sync.Mutex
	users int
	held  *heldLease // nil while users is zero
}

// heldLease is a lease with its heartbeat.
type heldLease struct {
	lease  store.Lease
	lost   context.Context // done, with a cause, when the lease is no longer ours
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the heartbeat has ended
}

// hold takes the lease, or joins the streams that have it. The context it
// returns ends when the lease is lost, or may be: the database is silent. A tenant that somebody else holds is an
// error that wraps store.ErrLeaseHeld.
func (k *keeper) hold(ctx context.Context) (context.Context, store.Lease, func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held != nil && k.held.lost.Err() != nil {
		return nil, store.Lease{}, nil, fmt.Errorf("tenant %s: %w", k.tenantID, context.Cause(k.held.lost))
	}
	if k.held == nil {
		if err := k.take(ctx); err != nil {
			return nil, store.Lease{}, nil, err
		}
	}
	k.users++
	held := k.held
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(held.lost, func() { cancel(context.Cause(held.lost)) })
	return ctx, held.lease, func() { stop(); cancel(nil); k.leave() }, nil
}

// take takes the lease and begins to keep it. Who is told to stop meanwhile still
// waits a moment for the answer: a lease that nobody knows he has is given back by
// nobody, and others would have to wait until it ends.
func (k *keeper) take(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.patience)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(k.moment(), cancel) })()
	lease, err := k.leases.Acquire(attempt, k.tenantID, k.owner, leaseTTL)
	if err == nil {
		if err = k.begin(ctx); err != nil {
			err = errors.Join(err, k.release(ctx, lease))
		}
	}
	switch {
	case err == nil:
		k.held = k.keep(ctx, lease)
		return nil
	case attempt.Err() != nil && ctx.Err() == nil:
		return fmt.Errorf("%w: the lease could not be taken within %s: %w", errSilent, k.patience, err)
	}
	return err
}

// begin is what there is to do with a lease that was just taken.
func (k *keeper) begin(ctx context.Context) error {
	if k.taken == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, k.patience)
	defer cancel()
	return k.taken(ctx)
}

// moment is how long one who was told to stop waits for the database: a lease that
// is not given back ends by itself.
func (k *keeper) moment() time.Duration { return min(leaseBeat, k.patience) }

// release gives a lease back even when the pass was told to stop.
func (k *keeper) release(ctx context.Context, lease store.Lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.moment())
	defer cancel()
	return k.leases.Release(ctx, lease)
}

func (k *keeper) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users--; k.users > 0 {
		return
	}
	held := k.held
	k.held = nil
	held.cancel(context.Canceled)
	<-held.done
	_ = k.release(context.Background(), held.lease)
}

// keep starts the heartbeat. It outlives the pass that took the lease, because
// other streams may have joined, and ends when the last of them leaves.
func (k *keeper) keep(ctx context.Context, lease store.Lease) *heldLease {
	lost, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	held := &heldLease{lease: lease, lost: lost, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(held.done)
		cancel(k.beat(lost, lease))
	}()
	return held
}

// beat renews the lease until it is told to stop or the lease is gone. A
// database that does not answer is asked again until patience has run out.
func (k *keeper) beat(ctx context.Context, lease store.Lease) error {
	until := time.Now().Add(k.patience)
	ticker := time.NewTicker(min(leaseBeat, k.patience/2))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		asked := time.Now()
		attempt, cancel := context.WithDeadline(ctx, until)
		err := k.leases.Renew(attempt, lease, leaseTTL)
		cancel()
		switch {
		case err == nil:
			until = asked.Add(k.patience)
		case errors.Is(err, store.ErrFenced):
			return err
		case !time.Now().Before(until):
			return fmt.Errorf("%w: the lease could not be renewed for %s: %w", errSilent, k.patience, err)
		}
	}
}
