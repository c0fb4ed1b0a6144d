package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// checkConfig reports what only shows when values are seen together.
func checkConfig(c *config, d *decoder, now time.Time) {
	if c.DataDir == "" {
		d.failAt("data_dir", "is empty; write a directory such as ./data")
	}
	if c.Database.MaxConnections < 2 {
		d.failAt("database.max_connections", "%d is too few; write at least 2", c.Database.MaxConnections)
	}
	if len(c.Tenants) == 0 {
		d.failAt("tenants", "no tenant is configured; write at least one")
	}
	for i := range c.Tenants {
		checkTenant(&c.Tenants[i], d, fmt.Sprintf("tenants[%d]", i))
	}
	checkDuplicates(c.Tenants, d)
	checkStreams(&c.Streams, d, now)
	checkHunting(c, d, now)
}

func checkTenant(t *tenantConfig, d *decoder, path string) {
	for _, key := range []string{"name", "tenant_id", "client_id"} {
		if !d.has(path + "." + key) {
			d.failAt(path+"."+key, "is missing")
		}
	}
	checkCredential(d, path+".credential")
	if l := t.Limits.incidents(); min(l.PerMinute, l.PerHour) < 1 {
		least := min(t.Limits.IncidentsPerMinute, t.Limits.IncidentsPerHour)
		d.failAt(path+".limits.share", "leaves less than one call of %d; write %s or more, or raise the limit",
			least, smallestShare(least))
	}
}

// smallestShare is the least whole percentage that leaves one call of a limit.
func smallestShare(limit positive) string {
	return fmt.Sprintf("%d%%", (100+limit-1)/limit)
}

func checkCredential(d *decoder, path string) {
	const usable = "client_secret or client_secret_file"
	var given []string
	for _, kind := range []string{"certificate_file", "certificate_password", "key_vault", "workload_identity", "managed_identity"} {
		if d.has(path + "." + kind) {
			d.failAt(path+"."+kind, "is not supported in this version; use %s", usable)
			return
		}
	}
	for _, kind := range []string{"client_secret", "client_secret_file"} {
		if d.has(path + "." + kind) {
			given = append(given, kind)
		}
	}
	switch {
	case len(given) == 0:
		d.failAt(path, "no credential is given; write %s", usable)
	case len(given) > 1:
		d.failAt(path+"."+given[1], "a second credential beside %s; keep one", given[0])
	}
}

func checkDuplicates(tenants []tenantConfig, d *decoder) {
	names, ids := make(map[tenantName]int), make(map[guid]int)
	for i, t := range tenants {
		if first, ok := names[t.Name]; ok && t.Name != "" {
			d.failAt(fmt.Sprintf("tenants[%d].name", i), "%q is already the name of tenants[%d]; names must differ", t.Name, first)
		}
		if first, ok := ids[t.TenantID]; ok && t.TenantID != "" {
			d.failAt(fmt.Sprintf("tenants[%d].tenant_id", i), "is already the tenant_id of tenants[%d]; a tenant is synced once", first)
		}
		names[t.Name], ids[t.TenantID] = i, i
	}
}

func checkStreams(s *streamsConfig, d *decoder, now time.Time) {
	for _, at := range []struct {
		path  string
		start startPoint
	}{{"streams.defaults.start", s.Defaults.Start}, {"streams.incidents.start", s.Incidents.Start}, {"streams.alerts.start", s.Alerts.Start}} {
		if d.has(at.path) && at.start.At.After(now) {
			d.failAt(at.path, "%s is in the future", at.start)
		}
	}
	if !s.Incidents.Enabled && !s.Alerts.Enabled && !s.hunts() {
		d.failAt("streams", "every stream is disabled; enable one")
	}
}

// suggest names the known key that was probably meant, or all of them.
func suggest(key string, fields map[string]reflect.Value) string {
	known := make([]string, 0, len(fields))
	for k := range fields {
		known = append(known, k)
	}
	slices.Sort(known)
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "known here: " + strings.Join(known, ", ")
}

// nearest is the member of known within a third of its length (rounded) in edits, or "".
func nearest(word string, known []string) string {
	best, least := "", len(word)
	for _, k := range known {
		if n := distance(strings.ToLower(word), k); n < least && n <= max(1, (len(k)+1)/3) {
			best, least = k, n
		}
	}
	return best
}

// distance is the number of insertions, deletions and replacements from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
