package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"defendersync/store"
)

// hunter is a worker on a hunting stream.
type hunter struct {
	*worker
	spec store.HuntSpec
	rows *store.HuntRows
}

// row is one served row by name: values as JSON.
type row map[string]string

// newHunter makes a table's worker on a fresh database. spec's tenant and name
// have defaults.
func newHunter(t testing.TB, spec store.HuntSpec) *hunter {
	t.Helper()
	return hunterOn(newWorker(t), spec)
}

func hunterOn(w *worker, spec store.HuntSpec) *hunter {
	w.t.Helper()
	spec.TenantID = w.lease.TenantID
	if spec.Name == "" {
		spec.Name = "DeviceEvents"
	}
	if spec.Mode == "" {
		spec.Mode = store.HuntEvents
	}
	h := &hunter{worker: workerStream(w, "hunting/"+store.SnakeCase(spec.Name)), spec: spec}
	h.cp.TenantID = w.lease.TenantID
	h.rows = h.NewHuntRows(spec)
	w.t.Cleanup(func() {
		if err := h.rows.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return h
}

// columns makes a list of columns of "Name Type" pairs.
func columns(pairs ...string) []store.HuntColumn {
	var all []store.HuntColumn
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, store.HuntColumn{Name: pairs[i], Type: pairs[i+1]})
	}
	return all
}

// add starts an answer and adds rows. Members that no column names are the rest.
func (h *hunter) add(cols []store.HuntColumn, rows ...row) {
	h.t.Helper()
	if err := h.rows.Begin(h.t.Context(), cols); err != nil {
		h.t.Fatal(err)
	}
	for _, r := range rows {
		h.addRow(cols, r)
	}
}

func (h *hunter) addRow(cols []store.HuntColumn, r row) {
	h.t.Helper()
	values := make([][]byte, len(cols))
	var rest []store.HuntExtra
	for name, value := range r {
		i := slices.IndexFunc(cols, func(c store.HuntColumn) bool { return c.Name == name })
		if i < 0 {
			rest = append(rest, store.HuntExtra{Name: name, Value: []byte(value)})
			continue
		}
		values[i] = []byte(value)
	}
	if err := h.rows.Add(values, rest); err != nil {
		h.t.Fatal(err)
	}
}

// store commits what was added.
func (h *hunter) store() store.Counts {
	h.t.Helper()
	c := h.next()
	c.Hunt = h.rows
	return h.must(c)
}

// answer is one answer that is stored.
func (h *hunter) answer(cols []store.HuntColumn, rows ...row) store.Counts {
	h.t.Helper()
	h.add(cols, rows...)
	return h.store()
}

func (h *hunter) exec(sql string, args ...any) {
	h.t.Helper()
	if _, err := h.Pool().Exec(h.t.Context(), sql, args...); err != nil {
		h.t.Fatal(err)
	}
}

// quoted is a text as JSON.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("no JSON: %v", err))
	}
	return string(b)
}
