package kql

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// sharedFile reads what is published and kept beside the repository, and may be
// absent.
func sharedFile(t *testing.T, path ...string) []byte {
	t.Helper()
	fixtures := os.Getenv("DEFENDERSYNC_FIXTURES")
	if fixtures == "" {
		fixtures = filepath.Join("..", "..", "..", "shared", "fixtures")
	}
	body, err := os.ReadFile(filepath.Join(append([]string{fixtures}, path...)...))
	if os.IsNotExist(err) {
		t.Skipf("the published samples are not here, so nothing was compared: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// A sample is a published hunting query, with the tables that its collector
// found in it.
type sample struct {
	ID, Query string
	Tables    []string
}

func samples(t *testing.T) []sample {
	t.Helper()
	var all []sample
	for line := range bytes.Lines(sharedFile(t, "kql", "queries.jsonl")) {
		var s sample
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// TestSamples says what becomes of the published queries when no mode is
// configured for them. The figures are here so that a change of the proof, in
// either direction, is looked at.
func TestSamples(t *testing.T) {
	all := samples(t)
	asked := make(map[string]int)
	events, clock, unbounded := 0, 0, 0
	for _, s := range all {
		q := Parse(s.Query)
		if len(q.Clock()) > 0 {
			clock++
		}
		if len(q.Unbounded()) > 0 {
			unbounded++
		}
		var h *hurdle
		if errors.As(q.RowLocal(), &h) {
			asked[h.topic]++
			continue
		}
		events++
	}
	t.Logf("%d queries: %d run as events, %d ask for a mode; %d say ago() or now(), %d escape the window", len(all), events, len(all)-events, clock, unbounded)
	for _, topic := range slices.SortedFunc(maps.Keys(asked), func(a, b string) int { return cmp.Or(asked[b]-asked[a], cmp.Compare(a, b)) }) {
		t.Logf("%4d %s", asked[topic], topic)
	}
	if len(all) != 702 || events != 226 {
		t.Errorf("%d of %d run as events, were 226 of 702", events, len(all))
	}
	want := map[string]int{
		"summarize": 212, "externaldata": 73, "join": 57, "distinct": 45, "no time": 17, "union": 13, "evaluate": 10, "invoke": 10, "take": 5,
		"make-series": 4, "materialize": 4, "unknown source": 4, "no table": 3, "read twice": 3, "search": 3, "top": 3, "unclear": 3,
		"read inside": 2, "getschema": 1, "lookup": 1, "sample": 1, "serialize": 1, "toscalar": 1,
	}
	if diff := gocmp.Diff(want, asked); diff != "" {
		t.Errorf("why the others ask for a mode (-was +is):\n%s", diff)
	}
}

// TestSamplesTables compares the tables that are found with those that the
// collector of the samples named.
func TestSamplesTables(t *testing.T) {
	different := map[string][]string{
		"11fbf8353569": nil, // begins with a sentence, whose full stop is before the table
		"e1231d15804c": nil, // a table that is gone
		"cac12df89c23": nil,
	}
	for _, s := range samples(t) {
		want := slices.Sorted(slices.Values(s.Tables))
		if known, ok := different[s.ID]; ok {
			want = known
		}
		if diff := gocmp.Diff(want, slices.Sorted(slices.Values(Parse(s.Query).Tables()))); diff != "" {
			t.Errorf("%s (-named +found):\n%s\n%s", s.ID, diff, s.Query)
		}
	}
}
