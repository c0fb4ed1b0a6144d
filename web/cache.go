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

// cache reads something at most once in statusAge, however many ask, so that
// scrapes and open pages cost the database next to nothing.
type cache[T any] struct {
	read func(context.Context) (T, error)
	turn chan struct{} // holds a token while one caller reads; guards what follows

	// rest is how many times as long as it took to read an answer is kept, where
	// that is longer than statusAge.
	rest    int
	timeout time.Duration // of a read

	readAt time.Time
	took   time.Duration
	answer T
	err    error
}

func newCache[T any](read func(context.Context) (T, error)) *cache[T] {
	return &cache[T]{read: read, turn: make(chan struct{}, 1), timeout: statusTimeout}
}

func newStatusCache(read func(context.Context) (defsync.Status, error)) *cache[defsync.Status] {
	return newCache(read)
}

// get answers what is remembered, be it an error, or reads anew. The answer is
// shared: callers don't change it. A read that its own caller cut short is not
// remembered.
func (c *cache[T]) get(ctx context.Context) (T, error) {
	var none T
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return none, ctx.Err()
	}
	if !c.readAt.IsZero() && time.Since(c.readAt) < max(statusAge, time.Duration(c.rest)*c.took) {
		return c.answer, c.err
	}
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	began := time.Now()
	answer, err := c.read(bounded)
	if ctx.Err() == nil {
		c.answer, c.err, c.readAt, c.took = answer, err, time.Now(), time.Since(began)
	}
	return answer, err
}
