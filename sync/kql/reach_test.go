package kql

import (
	"testing"
	"time"
)

func TestReach(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"T | where Timestamp > ago(1h)":                         time.Hour,
		"T | where Timestamp > ago(30d) and Other < ago( 15m )": 15 * time.Minute,
		"T | where Timestamp > ago(1.5h) // ago(1s)":            90 * time.Minute,
		"T | where Timestamp > ago(2days)":                      48 * time.Hour,
		`T | where Timestamp > ago(7d) and Name == "ago(1s)"`:   7 * 24 * time.Hour,
		"T":                                 0,
		"T | where Timestamp > ago(window)": 0,
		"T | where Timestamp > ago(2 * 1h)": 0,
		"T | where Timestamp > ago(1h) and Timestamp < now()":       0,
		"T | where Timestamp > now(-1h)":                            0,
		"T | where Timestamp > ago(-1h)":                            0,
		"T | where Timestamp > ago(99999999d)":                      0,
		"T | where Timestamp > ago(":                                0,
		"T | where Timestamp > ago(1h":                              0,
		"T | where Timestamp > ago(1parsec)":                        0,
		"let ago = 1; T | where X.ago > 1":                          0,
		"T | where Timestamp > ago(90000ms) or Timestamp > ago(2m)": 90 * time.Second,
	} {
		got, ok := Parse(text).Reach()
		if got != want || ok != (want > 0) {
			t.Errorf("%s\nreaches back %s, %v; want %s", text, got, ok, want)
		}
	}
}

// TestKeylessSlices: rows that are equal in what is fetched have to be in one slice.
func TestKeylessSlices(t *testing.T) {
	s := Scan{Table: "T", Slice: Slice{Of: 4, At: 1}, Drop: []string{"A"}}
	if got, want := s.Text(), "T\n| where hash(tostring(pack_all()), 4) == 1\n| project-away A"; got != want {
		t.Errorf("with a key\n%s\nwant\n%s", got, want)
	}
	s.Keyless = true
	if got, want := s.Text(), "T\n| project-away A\n| where hash(tostring(pack_all()), 4) == 1"; got != want {
		t.Errorf("without a key\n%s\nwant\n%s", got, want)
	}
}
