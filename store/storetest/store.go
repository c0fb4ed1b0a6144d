package storetest

import (
	"testing"

	"defendersync/store"
)

// New opens a store on a fresh, migrated database of the test's own, and closes
// it when the test ends.
func New(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), URL(t), 4)
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}
