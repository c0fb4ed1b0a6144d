package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store"
	"defendersync/store/storetest"
)

// logon is a table whose rows name entities of every type.
var logon = store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"ReportId"}, KeyOnly: true, AutoMigrate: true}

var logonColumns = columns("Timestamp", "DateTime", "ReportId", "Int64", "DeviceName", "String", "AccountUpn", "String", "AccountName", "String",
	"AccountDomain", "String", "RemoteIP", "String", "RemoteUrl", "String", "SHA256", "String", "InitiatingProcessSHA256", "String", "SenderFromAddress", "String",
	"ProcessCommandLine", "String")

// seen makes a row of logonColumns from pairs of column and text.
func seen(at time.Time, report int, pairs ...string) row {
	r := row{"Timestamp": quoted(at.Format(time.RFC3339Nano)), "ReportId": fmt.Sprint(report)}
	for i := 0; i < len(pairs); i += 2 {
		r[pairs[i]] = quoted(pairs[i+1])
	}
	return r
}

const (
	sightingsOf = `SELECT day::text, table_name, entity_type, entity_key, to_char(first_seen_at, 'HH24:MI'), to_char(last_seen_at, 'HH24:MI'), array_to_string(properties, '+')
		FROM defender.hunting_sightings ORDER BY entity_type, entity_key, day`
	entitiesOf = `SELECT entity_type, entity_key, name, alert_count, to_char(hunting_first_seen_at, 'DD HH24:MI'), to_char(hunting_last_seen_at, 'DD HH24:MI')
		FROM defender.entities ORDER BY 1, 2`
)

// Each documented column names what evidence would, under the same key; a row is
// one sighting a day and table, whatever columns say so.
func TestHuntSightings(t *testing.T) {
	h := newHunter(t, logon)
	h.answer(logonColumns,
		seen(at(10), 1, "DeviceName", "WS-1.corp.example", "AccountUpn", "Ann@x.example", "AccountName", "ann", "AccountDomain", "corp", "SHA256", "AB12", "RemoteUrl", "Http://X/Y"),
		seen(at(5), 2, "DeviceName", "ws-1", "AccountName", "SYSTEM", "AccountDomain", "NT Authority", "InitiatingProcessSHA256", "ab12", "RemoteIP", "2001:DB8::1"),
		seen(at(1445), 3, "DeviceName", "10.0.0.9", "AccountName", "root", "SenderFromAddress", "Eve@Y.example", "ProcessCommandLine", "ws-9"),
		seen(at(1446), 4, "DeviceName", "", "SHA256", "ab12"),
	)
	h.want(sightingsOf,
		"2026-11-01 device_events hash ab12 00:05 00:10 initiating_process_sha256+sha256", "2026-11-02 device_events hash ab12 00:06 00:06 sha256",
		"2026-11-02 device_events host 10.0.0.9 00:05 00:05 device_name", "2026-11-01 device_events host ws-1 00:05 00:10 device_name",
		"2026-11-01 device_events ip 2001:db8::1 00:05 00:05 remote_ip", "2026-11-02 device_events mailbox eve@y.example 00:05 00:05 sender_from_address",
		"2026-11-01 device_events url Http://X/Y 00:10 00:10 remote_url", "2026-11-01 device_events user ann@x.example 00:10 00:10 account_upn",
		`2026-11-01 device_events user nt authority\system 00:05 00:05 account_name`, "2026-11-02 device_events user root 00:05 00:05 account_name")
	h.want(entitiesOf,
		"hash ab12 AB12 0 01 00:05 02 00:06", "host 10.0.0.9 10.0.0.9 0 02 00:05 02 00:05", "host ws-1 WS-1 0 01 00:05 01 00:10",
		"ip 2001:db8::1 2001:DB8::1 0 01 00:05 01 00:05", "mailbox eve@y.example Eve@Y.example 0 02 00:05 02 00:05", "url Http://X/Y Http://X/Y 0 01 00:10 01 00:10",
		"user ann@x.example Ann@x.example 0 01 00:10 01 00:10", `user nt authority\system NT Authority\SYSTEM 0 01 00:05 01 00:05`, "user root root 0 02 00:05 02 00:05")
}

// Nothing is seen in what is private, or not chosen; nor in rows without a time, in
// values that their column cannot hold, and in results that are replaced.
func TestHuntSeesOnlyWhatItMay(t *testing.T) {
	full := seen(at(1), 1, "DeviceName", "ws-1", "AccountUpn", "ann@x.example", "AccountName", "ann", "AccountDomain", "corp", "SHA256", "ab")
	without := seen(at(1), 1, "SHA256", "ab")
	delete(without, "Timestamp")
	for name, c := range map[string]struct {
		change func(*store.HuntSpec)
		row    row
		want   []string
	}{
		"all":               {func(*store.HuntSpec) {}, full, []string{"hash ab", "host ws-1", "user ann@x.example"}},
		"dropped":           {func(s *store.HuntSpec) { s.Drop = []string{"devicename", "AccountUpn", "AccountName"} }, full, []string{"hash ab"}},
		"hashed":            {func(s *store.HuntSpec) { s.Hash = []string{"DeviceName", "accountupn", "AccountDomain"} }, full, []string{"hash ab", "user ann"}},
		"chosen":            {func(s *store.HuntSpec) { s.Entities = []string{"accountname", "SHA256"} }, full, []string{"hash ab", `user corp\ann`}},
		"chosen and hashed": {func(s *store.HuntSpec) { s.Entities, s.Hash = []string{"SHA256"}, []string{"SHA256"} }, full, nil},
		"none":              {func(s *store.HuntSpec) { s.Entities = []string{} }, full, nil},
		"no time column":    {func(s *store.HuntSpec) { s.TimeColumn = "" }, full, nil},
		"no time":           {func(*store.HuntSpec) {}, without, nil},
		"no real time":      {func(*store.HuntSpec) {}, seen(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), 1, "SHA256", "ab"), nil},
		"no real time, too": {func(*store.HuntSpec) {}, seen(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), 1, "SHA256", "ab"), nil},
		"replaced":          {func(s *store.HuntSpec) { s.Mode = store.HuntReplace }, full, nil},
		"snapshot":          {func(s *store.HuntSpec) { s.Mode = store.HuntSnapshot }, full, nil},
	} {
		t.Run(name, func(t *testing.T) {
			spec := logon
			c.change(&spec)
			h := newHunter(t, spec)
			if got, want := h.answer(logonColumns, c.row), (store.Counts{Inserted: 1}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			h.want(`SELECT entity_type, entity_key FROM defender.hunting_sightings ORDER BY 1, 2`, c.want...)
			h.want(`SELECT entity_type, entity_key FROM defender.entities ORDER BY 1, 2`, c.want...)
		})
	}
}

// modelSightings is what rows say, worked out in SQL from what is stored: the rule a
// second time.
const modelSightings = `
	SELECT (e.at AT TIME ZONE 'UTC')::date::text, 'device_events', e.type, e.key, to_char(min(e.at), 'HH24:MI'), to_char(max(e.at), 'HH24:MI'), string_agg(DISTINCT e.property, '+' ORDER BY e.property)
	FROM (
		SELECT timestamp AS at, v.*
		FROM hunting.device_events AS r, LATERAL (VALUES
			('host', split_part(lower(r.device_name), '.', 1), 'device_name'), ('user', lower(r.account_upn), 'account_upn'),
			('hash', lower(r.sha256), 'sha256'), ('hash', lower(r.initiating_process_sha256), 'initiating_process_sha256')
		) AS v (type, key, property)
	) AS e
	WHERE e.key <> ''
	GROUP BY 1, 2, 3, 4
	ORDER BY 3, 4, 1`

const (
	modelEntities = `SELECT entity_type, entity_key, min(first_seen_at), max(last_seen_at) FROM defender.hunting_sightings GROUP BY 1, 2 ORDER BY 1, 2`
	hunted        = `SELECT entity_type, entity_key, hunting_first_seen_at, hunting_last_seen_at FROM defender.entities ORDER BY 1, 2`
	versions      = `SELECT (SELECT md5(string_agg(s::text || s.xmin || s.xmax || s.ctid, ',' ORDER BY s)) FROM defender.hunting_sightings AS s),
		(SELECT md5(string_agg(s::text || s.xmin || s.xmax || s.ctid, ',' ORDER BY s)) FROM defender.entities AS s)`
)

// In whatever order and slices rows come, however often, and however few are held
// at once, the sightings are those of the rows; and read again they are not written.
func TestHuntSightingsInAnyOrder(t *testing.T) {
	for _, most := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			h := newHunter(t, logon)
			store.LimitSights(h.rows, most)
			dice := rand.New(rand.NewPCG(uint64(most), 7))
			pick := func(of ...string) string { return of[dice.IntN(len(of))] }
			var rows []row
			for n := range 300 {
				rows = append(rows, seen(at(dice.IntN(4*1440)), n, "DeviceName", pick("ws-1", "WS-1.corp.example", "ws-2", ""), "AccountUpn", pick("Ann@x", "ann@x", "bob@x", ""),
					"SHA256", pick("aa", "AA", "bb", "cc", ""), "InitiatingProcessSHA256", pick("aa", "bb", "")))
			}
			for _, again := range []bool{false, true} {
				before := h.query(versions)
				dice.Shuffle(len(rows), func(a, b int) { rows[a], rows[b] = rows[b], rows[a] })
				for i := 0; i < len(rows); i += 60 {
					h.answer(logonColumns, rows[i:min(i+75, len(rows))]...) // some in two answers
				}
				h.want(sightingsOf, h.query(modelSightings)...)
				h.want(hunted, h.query(modelEntities)...)
				if again {
					h.want(versions, before...)
				}
			}
			h.exec(`TRUNCATE hunting.device_events`) // as retention does: what comes again is known
			before := h.query(versions)
			h.answer(logonColumns, rows...)
			h.want(versions, before...)
		})
	}
}

// A row of another content is another sighting; what it said before was seen.
func TestHuntSightingsOfChangedRows(t *testing.T) {
	h := newHunter(t, logon)
	h.answer(logonColumns, seen(at(1), 1, "SHA256", "aa"))
	h.answer(logonColumns, seen(at(2), 1, "SHA256", "bb"))
	h.answer(logonColumns, seen(at(1), 1, "SHA256", "cc")) // older: not stored
	h.want(`SELECT entity_key FROM defender.hunting_sightings ORDER BY 1`, "aa", "bb")
	h.answer(logonColumns, seen(at(3), 2, "InitiatingProcessSHA256", "aa"))
	h.answer(logonColumns, seen(at(3), 3, "InitiatingProcessSHA256", "aa"))
	h.want(`SELECT properties::text FROM defender.hunting_sightings WHERE entity_key = 'aa'`, "{initiating_process_sha256,sha256}")
}

// A row that PostgreSQL refuses was not seen, and the rows around it were; once it is
// stored after all, it was.
func TestHuntSightingsOfRefusedRows(t *testing.T) {
	h := newHunter(t, logon)
	h.answer(logonColumns)
	h.exec(`ALTER TABLE hunting.device_events ADD CONSTRAINT picky CHECK (sha256 <> 'bad')`)
	h.answer(logonColumns, seen(at(1), 1, "SHA256", "aa"), seen(at(2), 2, "SHA256", "bad"), seen(at(3), 3, "SHA256", "cc"))
	h.want(`SELECT entity_key FROM defender.hunting_sightings ORDER BY 1`, "aa", "cc")
	h.exec(`ALTER TABLE hunting.device_events DROP CONSTRAINT picky`)
	if _, failed := h.replay(logon); len(failed) > 0 {
		t.Fatal(failed)
	}
	h.want(`SELECT entity_key FROM defender.hunting_sightings ORDER BY 1`, "aa", "bad", "cc")
	h.want(`SELECT entity_key FROM defender.entities ORDER BY 1`, "aa", "bad", "cc")
}

// An entity that alerts and hunting have seen loses the one and keeps the other.
func TestEntityOfAlertsAndHunting(t *testing.T) {
	w := newWorker(t)
	h := hunterOn(w, logon)
	const what = `SELECT entity_type, entity_key, alert_count, first_seen_at IS NOT NULL, hunting_first_seen_at IS NOT NULL FROM defender.entities ORDER BY 2`
	minute := 0
	names := func(hashes ...string) store.Alert {
		minute++
		a := alert("a", minute)
		for i, s := range hashes {
			a.Evidence = append(a.Evidence, store.Evidence{TenantID: tenant, AlertID: "a", EvidenceNo: int32(i + 1), EvidenceType: "file", SHA256: &s, Raw: []byte(`{}`)})
		}
		return a
	}
	h.answer(logonColumns, seen(at(1), 1, "SHA256", "both"), seen(at(1), 2, "SHA256", "hunted"))
	h.want(what, "hash both 0 false true", "hash hunted 0 false true")
	w.commit(names("both", "alerted"))
	h.want(what, "hash alerted 1 true false", "hash both 1 true true", "hash hunted 0 false true")
	h.want(`SELECT name FROM defender.entities WHERE entity_key = 'both'`, "both")
	w.commit(names())
	h.want(what, "hash both 0 false true", "hash hunted 0 false true")
	w.commit(names("both"))
	h.want(what, "hash both 1 true true", "hash hunted 0 false true")
}

// writings notes how many sightings each statement writes.
type writings struct{ rows []int }

func (w *writings) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (w *writings) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (w *writings) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (w *writings) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
func (w *writings) TraceBatchQuery(_ context.Context, _ *pgx.Conn, q pgx.TraceBatchQueryData) {
	if strings.Contains(q.SQL, "INSERT INTO defender.hunting_sightings") {
		w.rows = append(w.rows, len(q.Args[2].([]time.Time)))
	}
}

// What a commit names is bounded by nothing but its rows: what is held of it is, but
// for those that are written at a time.
func TestHuntSightsAreBounded(t *testing.T) {
	var written writings
	s, err := store.OpenWith(t.Context(), storetest.URL(t), func(c *pgxpool.Config) { c.ConnConfig.Tracer = &written })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	const rows, chunk, most = 9000, 2000, 100
	h := hunterOn(workerOn(t, s), logon)
	store.LimitSights(h.rows, most)
	h.add(logonColumns)
	for n := range rows {
		h.addRow(logonColumns, seen(at(n/10), n, "SHA256", fmt.Sprintf("%0*d", 64, n), "RemoteUrl", "http://x/"+strings.Repeat("y", n%2000)))
	}
	h.store()
	h.want(`SELECT count(*) FROM defender.hunting_sightings WHERE entity_type = 'hash'`, fmt.Sprint(rows))
	h.want(`SELECT count(*), max(octet_length(entity_key)) <= 1000 FROM defender.entities WHERE entity_type = 'url'`, "2000 true")
	if n := slices.Max(written.rows); n > most+2*chunk {
		t.Errorf("%d sightings written at once, of %v", n, written.rows)
	}
}
