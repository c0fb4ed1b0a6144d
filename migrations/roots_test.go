package migrations_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"defendersync/store/storetest"
)

// rootOf is the model of defender.incident_roots: follow the redirects until
// they end, or until they come round.
func rootOf(id int, redirects map[int]int) int {
	var path []int
	seen := map[int]int{}
	for {
		if begin, ok := seen[id]; ok {
			root := path[begin]
			for _, p := range path[begin:] {
				root = min(root, p)
			}
			return root
		}
		seen[id] = len(path)
		path = append(path, id)
		next := redirects[id] // 0 is none
		if _, stored := redirects[next]; !stored {
			return id
		}
		id = next
	}
}

// Chains, loops, chains into loops, and redirects to what is not stored.
func TestIncidentRoots(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	const tenants = 2
	tenant := func(n int) string { return fmt.Sprintf("%d1111111-1111-4111-8111-111111111111", n+1) }
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := pool.Exec(t.Context(), `TRUNCATE defender.incidents`); err != nil {
			rt.Fatal(err)
		}
		var want []string
		for n := range tenants {
			redirects := map[int]int{}
			for id := range rapid.IntRange(0, 8).Draw(rt, "incidents") {
				redirects[id+1] = rapid.IntRange(0, 9).Draw(rt, "redirect")
			}
			for id := 1; id <= len(redirects); id++ {
				const insert = `INSERT INTO defender.incidents (tenant_id, incident_id, redirect_incident_id, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
					VALUES ($1, $2, nullif($3, 0), now(), '{}', gen_random_uuid(), now(), now())`
				if _, err := pool.Exec(t.Context(), insert, tenant(n), id, redirects[id]); err != nil {
					rt.Fatal(err)
				}
				want = append(want, fmt.Sprint(tenant(n)[:1], " ", id, " ", rootOf(id, redirects)))
			}
		}
		got := texts(t, pool, `SELECT left(tenant_id::text, 1) || ' ' || incident_id || ' ' || root_incident_id
			FROM defender.incident_roots ORDER BY tenant_id, incident_id`)
		if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
			rt.Fatal(diff)
		}
	})
}
