package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"defendersync/store"
)

// sighting is what a test expects of one row of defender.entity_sightings.
type sighting struct {
	Alert, Type, Key                        string
	First, Last                             time.Time
	Pieces                                  int64
	Properties, EvidenceTypes, Roles, Verds []string
}

// entity is what it expects of one row of defender.entities.
type entity struct {
	Type, Key   string
	First, Last time.Time
	Alerts      int64
}

// names is what one piece of evidence names, as (type, column, key): the rule
// that the SQL has, told a second time.
func names(e *store.Evidence) (all [][3]string) {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	add := func(kind, property, value string) {
		if kind != "url" {
			value = strings.ToLower(value)
		}
		if len(value) > 1000 {
			sum := sha256.Sum256([]byte(value))
			value = string([]rune(value)[:200]) + "#" + hex.EncodeToString(sum[:])
		}
		if value != "" {
			all = append(all, [3]string{kind, property, value})
		}
	}
	if add("host", "host_name", text(e.HostName)); text(e.HostName) == "" && e.EvidenceType == "device" {
		add("host", "mde_device_id", text(e.MDEDeviceID))
	}
	add("user", "user_principal_name", text(e.UserPrincipalName))
	if name := text(e.AccountName); text(e.UserPrincipalName) == "" && name != "" && !strings.HasPrefix(e.EvidenceType, "git_hub_") {
		if domain := text(e.DomainName); domain != "" {
			name = domain + `\` + name
		}
		add("user", "account_name", name)
	}
	add("ip", "ip_address", text(e.IPAddress))
	add("ip", "sender_ip", text(e.SenderIP))
	add("ip", "last_ip_address", text(e.LastIPAddress))
	add("ip", "last_external_ip_address", text(e.LastExternalIPAddress))
	add("url", "url", text(e.URL))
	add("hash", "sha256", text(e.SHA256))
	add("hash", "sha1", text(e.SHA1))
	add("hash", "md5", text(e.MD5))
	add("mailbox", "primary_address", text(e.PrimaryAddress))
	add("mailbox", "recipient_email_address", text(e.RecipientEmailAddress))
	add("mailbox", "sender_address", text(e.SenderAddress))
	return all
}

// sightings works out what the alerts name.
func expectedSightings(alerts map[string]store.Alert) map[string]sighting {
	all := map[string]sighting{}
	for _, a := range alerts {
		for _, e := range a.Evidence {
			at := a.LastUpdateDateTime
			for _, t := range []*time.Time{a.CreatedDateTime, a.FirstActivityDateTime, e.CreatedDateTime} {
				if t != nil {
					at = *t
				}
			}
			seen := map[string]bool{}
			for _, n := range names(&e) {
				id := fmt.Sprint(a.AlertID, n[0], n[2])
				s, ok := all[id]
				if !ok {
					s = sighting{Alert: a.AlertID, Type: n[0], Key: n[2], First: at, Last: at, Roles: []string{}, Verds: []string{}}
				}
				if at.Before(s.First) {
					s.First = at
				}
				if at.After(s.Last) {
					s.Last = at
				}
				if !seen[id] {
					s.Pieces++
				}
				seen[id] = true
				s.Properties, s.EvidenceTypes = insert(s.Properties, n[1]), insert(s.EvidenceTypes, e.EvidenceType)
				for _, r := range e.Roles {
					s.Roles = insert(s.Roles, r)
				}
				if e.Verdict != nil {
					s.Verds = insert(s.Verds, *e.Verdict)
				}
				all[id] = s
			}
		}
	}
	return all
}

// insert keeps list a sorted set.
func insert(list []string, s string) []string {
	if i, found := slices.BinarySearch(list, s); !found {
		return slices.Insert(list, i, s)
	}
	return list
}

// entities sums sightings up.
func entities(sightings map[string]sighting) map[string]entity {
	all := map[string]entity{}
	for _, s := range sightings {
		id := s.Type + s.Key
		e, ok := all[id]
		if !ok {
			e = entity{Type: s.Type, Key: s.Key, First: s.First, Last: s.Last}
		}
		if s.First.Before(e.First) {
			e.First = s.First
		}
		if s.Last.After(e.Last) {
			e.Last = s.Last
		}
		e.Alerts++
		all[id] = e
	}
	return all
}

// wantEntities compares both tables with what the alerts name.
func (w *worker) wantEntities(alerts map[string]store.Alert) {
	w.t.Helper()
	want := expectedSightings(alerts)
	got := map[string]sighting{}
	for _, line := range w.sightings() {
		got[fmt.Sprint(line.Alert, line.Type, line.Key)] = line
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Fatalf("sightings (-want +got):\n%s", diff)
	}
	found := map[string]entity{}
	rows, err := w.Pool().Query(w.t.Context(), `SELECT entity_type, entity_key, first_seen_at, last_seen_at, alert_count FROM defender.entities`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var e entity
		if err := rows.Scan(&e.Type, &e.Key, &e.First, &e.Last, &e.Alerts); err != nil {
			w.t.Fatal(err)
		}
		e.First, e.Last = e.First.UTC(), e.Last.UTC()
		found[e.Type+e.Key] = e
	}
	if diff := cmp.Diff(entities(want), found); diff != "" {
		w.t.Fatalf("entities (-want +got):\n%s", diff)
	}
}

func (w *worker) sightings() (all []sighting) {
	w.t.Helper()
	rows, err := w.Pool().Query(w.t.Context(), `
		SELECT alert_id, entity_type, entity_key, first_seen_at, last_seen_at, evidence_count, properties, evidence_types, roles, verdicts
		FROM defender.entity_sightings`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s sighting
		if err := rows.Scan(&s.Alert, &s.Type, &s.Key, &s.First, &s.Last, &s.Pieces, &s.Properties, &s.EvidenceTypes, &s.Roles, &s.Verds); err != nil {
			w.t.Fatal(err)
		}
		s.First, s.Last = s.First.UTC(), s.Last.UTC()
		all = append(all, s)
	}
	return all
}

// anyEvidence draws a piece of evidence from few values, so that alerts share them.
func anyEvidence(r *rand.Rand, alertID string, no int32) store.Evidence {
	pick := func(values ...string) *string {
		if n := r.IntN(2 * len(values)); n < len(values) {
			return &values[n]
		}
		return nil
	}
	e := store.Evidence{
		TenantID: tenant, AlertID: alertID, EvidenceNo: no, Raw: []byte(`{}`),
		EvidenceType: []string{"device", "user", "file", "ip", "git_hub_user"}[r.IntN(5)],
		HostName:     pick("WS-1", "ws-1", "SRV", ""), MDEDeviceID: pick("Id1", "id2"),
		UserPrincipalName: pick("Ann@x.example", "bob@x.example", ""), AccountName: pick("ann", "SYSTEM", ""), DomainName: pick("NT", ""),
		IPAddress: pick("10.0.0.1", "2001:DB8::1"), LastIPAddress: pick("10.0.0.1"), SenderIP: pick("192.0.2.7"),
		URL: pick("https://x.example/A", "https://x.example/a", "https://x.example/"+strings.Repeat("ü", 600)), SHA256: pick("AB", "ab", "cd"), MD5: pick("ef"),
		PrimaryAddress: pick("Ann@x.example"), SenderAddress: pick("evil@y.example", "Ann@x.example"), Verdict: pick("malicious", "suspicious"),
	}
	if r.IntN(2) == 0 {
		e.Roles = []string{"source", "attacked"}[:1+r.IntN(2)]
	}
	if r.IntN(3) > 0 {
		e.CreatedDateTime = ptr(at(r.IntN(50)))
	}
	return e
}

// Alerts come, change and lose evidence in any order, several in one commit:
// after each commit entities and sightings are what the evidence stored names.
func TestEntitiesFollowEvidence(t *testing.T) {
	w := newWorker(t)
	r := rand.New(rand.NewPCG(8, 15))
	now := map[string]store.Alert{}
	for minute := range 60 {
		c := w.next()
		for range 1 + r.IntN(4) {
			a := alert(fmt.Sprint("a", r.IntN(9)), 100+minute)
			for no := range r.IntN(5) {
				a.Evidence = append(a.Evidence, anyEvidence(r, a.AlertID, int32(no+1)))
			}
			if r.IntN(2) == 0 {
				a.FirstActivityDateTime = ptr(at(r.IntN(40)))
			}
			if r.IntN(2) == 0 {
				a.CreatedDateTime = ptr(at(r.IntN(60)))
			}
			if old, ok := now[a.AlertID]; ok && r.IntN(4) == 0 { // a change of status only
				a.Evidence, a.CreatedDateTime, a.FirstActivityDateTime = old.Evidence, old.CreatedDateTime, old.FirstActivityDateTime
			}
			c.Alerts = append(c.Alerts, a)
			now[a.AlertID] = a
		}
		w.must(c)
		w.wantEntities(now)
	}
	// A migration that finds the evidence stored comes to the same.
	w.query(`TRUNCATE defender.entity_sightings`)
	w.query(`INSERT INTO defender.entity_sightings (tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count, properties, evidence_types, roles, verdicts)
		SELECT tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count, properties, evidence_types, roles, verdicts FROM defender.alert_entities`)
	w.wantEntities(now)
}

// What does not change is not written: neither the entity of an alert that
// changes its status, nor the sightings that stay when one is added.
func TestEntitiesAreWrittenOnChangeOnly(t *testing.T) {
	w := newWorker(t)
	with := func(hosts ...string) func(*store.Alert) {
		return func(a *store.Alert) {
			for n, h := range hosts {
				a.Evidence = append(a.Evidence, store.Evidence{TenantID: tenant, AlertID: a.AlertID, EvidenceNo: int32(n + 1),
					EvidenceType: "device", HostName: &h, CreatedDateTime: ptr(at(0)), Raw: []byte(`{}`)})
			}
		}
	}
	versions := `SELECT 'sighting', entity_key, xmin::text, xmax::text FROM defender.entity_sightings WHERE entity_key <> 'new'
		UNION ALL SELECT 'entity', entity_key, xmin::text, xmax::text FROM defender.entities WHERE entity_key <> 'new' ORDER BY 1, 2`
	w.commit(alert("a", 1, with("x", "y")), alert("b", 1, with("x")))
	before := w.query(versions)
	w.commit(alert("a", 2, with("x", "y"), severity("low")))
	w.commit(alert("a", 3, with("x", "y", "new")))
	if diff := cmp.Diff(before, w.query(versions)); diff != "" {
		t.Errorf("written though unchanged (-before +after):\n%s", diff)
	}
	w.want(`SELECT entity_key, alert_count FROM defender.entities ORDER BY 1`, "new 1", "x 2", "y 1")
	w.commit(alert("a", 4), alert("b", 4, with("x")))
	w.want(`SELECT entity_key, alert_count FROM defender.entities ORDER BY 1`, "x 1")
}

// A record is not refused for what an index cannot hold.
func TestEntitiesOfWhatIsTooLong(t *testing.T) {
	w := newWorker(t)
	long := strings.Repeat("x", 1500)
	w.commit(alert(long, 1, func(a *store.Alert) {
		a.Evidence = []store.Evidence{{TenantID: tenant, AlertID: long, EvidenceNo: 1, EvidenceType: "ip", IPAddress: ptr("10.0.0.1"), Raw: []byte(`{}`)}}
	}), alert("b", 1, func(a *store.Alert) {
		url := "https://x.example/" + long + long
		a.Evidence = []store.Evidence{{TenantID: tenant, AlertID: "b", EvidenceNo: 1, EvidenceType: "url", URL: &url, Raw: []byte(`{}`)}}
	}))
	w.want(`SELECT count(*) FROM sync.quarantine`, "0")
	w.want(`SELECT alert_id, entity_type, length(entity_key), length(name) FROM defender.entity_sightings`, "b url 265 3018")
}

// What a page's entities cost does not grow with those stored, not even before
// any ANALYZE.
func TestEntitiesReadTheirOwnKeysOnly(t *testing.T) {
	w := newWorker(t)
	if w.query(`SELECT to_regproc('pg_stat_force_next_flush') IS NULL`)[0] == "true" {
		t.Skip("PostgreSQL before 15 cannot be asked for its statistics at once")
	}
	named := func(id, host int) store.Alert {
		return alert(fmt.Sprint("n", id), 1, func(a *store.Alert) {
			a.Evidence = []store.Evidence{{TenantID: tenant, AlertID: a.AlertID, EvidenceNo: 1, EvidenceType: "device", HostName: ptr(fmt.Sprint("ws-", host)), Raw: []byte(`{}`)}}
		})
	}
	read := func() map[string]int64 {
		n := map[string]int64{}
		w.query(`SELECT pg_stat_force_next_flush()`)
		rows, err := w.Pool().Query(t.Context(), `SELECT relname, sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE schemaname = 'defender' GROUP BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var table string
			var count int64
			if err := rows.Scan(&table, &count); err != nil {
				t.Fatal(err)
			}
			n[table] = count
		}
		return n
	}
	w.commit(named(0, 0))
	w.query(`INSERT INTO defender.entities SELECT $1, 'host', 'ws-' || n, 'x', now(), now(), 1 FROM generate_series(1, 5000) AS n`, tenant)
	w.query(`INSERT INTO defender.entity_sightings SELECT $1, 'old' || n, 'host', 'ws-' || n % 5000, 'x', now(), now(), 1, '{}', '{}', '{}', '{}' FROM generate_series(1, 20000) AS n`, tenant)
	before := read()
	const page = 100
	for round := range 2 {
		c := w.next()
		for n := range page {
			c.Alerts = append(c.Alerts, named(1+round*page+n, 4900+n))
		}
		w.must(c)
	}
	after := read()
	for _, table := range []string{"entities", "entity_sightings"} {
		if n := after[table] - before[table]; n > 2*page*8 {
			t.Errorf("%s: %d index entries read for %d sightings", table, n, 2*page)
		}
	}
}
