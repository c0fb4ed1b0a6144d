package main

import (
	"strings"
	"testing"
	"time"

	"defendersync/sync/defender"
)

func TestWaitsAreToldInALine(t *testing.T) {
	for want, c := range map[string]struct {
		wait defender.Wait
		most time.Duration
	}{
		"waiting 41s for the hunting quota (15/min)":       {defender.Wait{For: 41 * time.Second, Limit: 15, Per: time.Minute}, 0},
		"waiting up to 45s for the hunting quota (15/min)": {defender.Wait{For: 50 * time.Second, Limit: 15, Per: time.Minute}, 45 * time.Second},
		"waiting 5m for the hunting quota (1500/h)":        {defender.Wait{For: 5 * time.Minute, Limit: 1500, Per: time.Hour}, 0},
		"waiting 8s: the service asked for it":             {defender.Wait{For: 8 * time.Second}, 45 * time.Second},
	} {
		var b strings.Builder
		tellWaits(&b, "hunting", c.most)(c.wait)
		if b.String() != want+"\n" {
			t.Errorf("%q, want %q", b.String(), want)
		}
	}
}
