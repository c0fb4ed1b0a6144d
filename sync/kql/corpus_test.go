package kql

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
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
