package web

import (
	"context"
	"time"

	defsync "defendersync/sync"
)

const (
	statusAge     = 3 * time.Second // how old an answer may be
	statusTimeout = 5 * time.Second
)

// statusCache reads the status at most once in statusAge, however many ask, so
// that scrapes and open pages cost the database next to nothing.
type statusCache struct {
	read func(context.Context) (defsync.Status, error)
	turn chan struct{} // holds a token while one caller reads; guards what follows

	readAt time.Time
	status defsync.Status
	err    error
}

func newStatusCache(read func(context.Context) (defsync.Status, error)) *statusCache {
	return &statusCache{read: read, turn: make(chan struct{}, 1)}
}

// get answers the remembered status, or its error, or reads anew. The answer is
// shared: callers don't change it. A read that its own caller cut short is not
// remembered.
func (c *statusCache) get(ctx context.Context) (defsync.Status, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return defsync.Status{}, ctx.Err()
	}
	if !c.readAt.IsZero() && time.Since(c.readAt) < statusAge {
		return c.status, c.err
	}
	bounded, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	status, err := c.read(bounded)
	if ctx.Err() == nil {
		c.status, c.err, c.readAt = status, err, time.Now()
	}
	return status, err
}
