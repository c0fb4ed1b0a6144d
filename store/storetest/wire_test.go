package storetest_test

import (
	"testing"

	"defendersync/store/storetest"

	"github.com/jackc/pgx/v5"
)

func TestWireDownAndUp(t *testing.T) {
	dsn := storetest.URL(t)
	w := storetest.NewWire(t, dsn)
	ask := func() error {
		conn, err := pgx.Connect(t.Context(), w.URL(w.Addr))
		if err != nil {
			return err
		}
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), "SELECT 1")
		return err
	}
	if err := ask(); err != nil || w.IsDown() {
		t.Fatalf("at first: %v, down %v", err, w.IsDown())
	}
	w.Down(1)
	if err := ask(); err == nil || !w.IsDown() {
		t.Errorf("after the second piece: %v, down %v", err, w.IsDown())
	}
	if err := ask(); err == nil {
		t.Error("a wire that is down took a connection")
	}
	w.Up()
	if err := ask(); err != nil || w.IsDown() {
		t.Errorf("up again: %v, down %v", err, w.IsDown())
	}
}
