package sync_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// benchHuntRows is about what one answer holds.
const benchHuntRows = 98_000

// huntBenchEnv tells this test binary that it is to be the measured worker.
const huntBenchEnv = "DEFENDERSYNC_BENCH_HUNT"

// huntMeasure is what the measured worker reports.
type huntMeasure struct {
	First, Again time.Duration
	IdleKB       int64 // resident before the first pass
	PeakKB       int64 // resident at most until the end
	WAL          int64 // written by the second pass
}

// TestHelperHunt is not a test: it is the process that BenchmarkHunting measures.
func TestHelperHunt(t *testing.T) {
	text := os.Getenv(huntBenchEnv)
	if text == "" {
		t.Skip("runs only as the worker of a benchmark")
	}
	r, _ := rigOf(t, text)
	w, db := r.newWorker(t, r.openStore(t), "measured"), r.openPool(t)
	m := huntMeasure{IdleKB: residentKB(t, "VmRSS")}
	pass := func(want int64) time.Duration {
		began := time.Now()
		for _, res := range w.Sync(t.Context(), "", nil) {
			if res.Outcome != defsync.OutcomeOK || res.Read != benchHuntRows || res.Inserted != want {
				t.Fatalf("%+v", res)
			}
		}
		return time.Since(began)
	}
	wal := func() int64 { return value[int64](t, db, `SELECT pg_current_wal_insert_lsn() - '0/0'`) }
	m.First = pass(benchHuntRows)
	if _, err := db.Exec(t.Context(), `UPDATE sync.checkpoints SET next_from = start_time, window_width = interval '2 days'`); err != nil {
		t.Fatal(err)
	}
	before := wal()
	m.Again = pass(0)
	m.WAL, m.PeakKB = wal()-before, residentKB(t, "VmHWM")
	out, _ := json.Marshal(m)
	fmt.Printf("\nMEASURED %s\n", out)
}

// residentKB reads the process's own memory, where the system tells it.
func residentKB(t testing.TB, what string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), what+":")
	n, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkHunting measures one full answer all the way: HTTP, gzip, decoding,
// typed rows, commit. The worker is a process of its own, so that its memory is
// only its own, and psql's \copy of the same rows into the same table in the same
// run is the measure of speed.
func BenchmarkHunting(b *testing.B) {
	now := newClock().Now()
	server := httptest.NewServer(cannedHunt(b, now))
	b.Cleanup(server.Close)
	var first, again, psql time.Duration
	var last huntMeasure
	for b.Loop() {
		dsn := storetest.URL(b)
		job, _ := json.Marshal(fillerJob{DSN: dsn, URL: server.URL, Now: now, Dialect: defender.Graph, Table: "DeviceProcessEvents", Cap: 200_000, Days: 1,
			App: defendersim.Config{TenantID: defendersim.DefaultTenant, ClientID: defendersim.DefaultTenant, Secret: "s"}})
		last = measured(b, string(job))
		first, again = first+last.First, again+last.Again
		psql += psqlCopies(b, dsn)
	}
	rate := func(d time.Duration) float64 { return float64(b.N) * benchHuntRows / d.Seconds() }
	b.ReportMetric(rate(first), "rows/s")
	b.ReportMetric(rate(again), "again-rows/s")
	b.ReportMetric(rate(psql), "psql-rows/s")
	b.ReportMetric(rate(first)/rate(psql), "ratio")
	b.ReportMetric(float64(last.PeakKB-last.IdleKB)/1024, "MiB-above-idle")
	b.ReportMetric(float64(last.WAL), "again-WAL-bytes")
}

// measured runs the worker and reads what it reports.
func measured(b *testing.B, job string) huntMeasure {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperHunt$")
	cmd.Env = append(os.Environ(), huntBenchEnv+"="+job)
	out, err := cmd.CombinedOutput()
	_, line, found := strings.Cut(string(out), "MEASURED ")
	if err != nil || !found {
		b.Fatalf("the worker failed: %v\n%s", err, out)
	}
	var m huntMeasure
	if err := json.Unmarshal([]byte(strings.SplitN(line, "\n", 2)[0]), &m); err != nil {
		b.Fatal(err)
	}
	return m
}

// psqlCopies empties the table and lets psql fill it with the rows it had.
func psqlCopies(b *testing.B, dsn string) time.Duration {
	b.Helper()
	file := filepath.Join(b.TempDir(), "rows.copy")
	psql := func(sql string) {
		out, err := exec.Command(filepath.Join(os.Getenv("PG_BIN"), "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", sql).CombinedOutput()
		if err != nil {
			b.Fatalf("psql: %v: %s", err, out)
		}
	}
	psql(`\copy (SELECT * FROM hunting.device_process_events) TO '` + file + `'`)
	psql(`TRUNCATE hunting.device_process_events`)
	began := time.Now()
	psql(`\copy hunting.device_process_events FROM '` + file + `'`)
	return time.Since(began)
}

// cannedHunt is a service with one answer, so that making it is not measured.
func cannedHunt(b *testing.B, now time.Time) http.Handler {
	b.Helper()
	rows, plain := cannedRows(b, now)
	b.Logf("one answer: %d rows, %d MB of JSON, %d MB sent", benchHuntRows, plain>>20, len(rows)>>20)
	counts := fmt.Sprintf(`{"schema":[{"name":"Hour","type":"DateTime"},{"name":"Rows","type":"Int64"}],"results":[{"Hour":"%s","Rows":%d}]}`,
		now.Add(-20*time.Hour).Truncate(time.Hour).Format(time.RFC3339), benchHuntRows)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Date", now.Format(http.TimeFormat))
		switch {
		case strings.HasSuffix(req.URL.Path, "/token"):
			fmt.Fprint(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"opaque"}`)
		case strings.Contains(queryOf(req), "summarize Rows"):
			fmt.Fprint(w, counts)
		default:
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(rows)
		}
	})
}

// cannedRows are rows of 24 columns and 1.3 kB each.
func cannedRows(b *testing.B, now time.Time) (packed []byte, plain int) {
	b.Helper()
	var buf bytes.Buffer
	z, _ := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	w := &counted{w: z}
	names := []string{"Timestamp", "DeviceId", "DeviceName", "ActionType", "FileName", "FolderPath", "SHA1", "SHA256", "MD5", "FileSize", "ProcessId",
		"ProcessCommandLine", "ProcessCreationTime", "AccountDomain", "AccountName", "AccountSid", "LogonId", "InitiatingProcessFileName",
		"InitiatingProcessCommandLine", "InitiatingProcessSHA1", "InitiatingProcessCreationTime", "ReportId", "AdditionalFields", "IsInitiatingProcessRemoteSession"}
	types := map[string]string{"Timestamp": "DateTime", "ProcessCreationTime": "DateTime", "InitiatingProcessCreationTime": "DateTime", "FileSize": "Int64",
		"ProcessId": "Int64", "LogonId": "Int64", "ReportId": "Int64", "AdditionalFields": "Object", "IsInitiatingProcessRemoteSession": "SByte"}
	fmt.Fprint(w, `{"schema":[`)
	for i, n := range names {
		typ := types[n]
		if typ == "" {
			typ = "String"
		}
		fmt.Fprintf(w, `%s{"name":%q,"type":%q}`, strings.Repeat(",", min(i, 1)), n, typ)
	}
	fmt.Fprint(w, `],"results":[`)
	for i := range benchHuntRows {
		at := now.Add(-20*time.Hour+time.Duration(i)*600*time.Millisecond).Format("2006-01-02T15:04:05") + ".1234567Z"
		hash := func(digits int) string { return fmt.Sprintf("%0*x", digits, uint64(i+1)*0x9e3779b97f4a7c15) }
		values := []any{at, hash(40), fmt.Sprintf("workstation-%d.corp.example.com", i%500), "ProcessCreated", fmt.Sprintf("tool%d.exe", i%100),
			fmt.Sprintf(`C:\Program Files\Vendor %d\Application`, i%50), hash(40), hash(64), hash(32), i * 17, i,
			fmt.Sprintf(`"C:\Program Files\Vendor %d\tool.exe" --type=renderer --lang=en-US --handle=%d,%s --disable-features=Translate`, i%50, i, hash(64)),
			at, "corp", fmt.Sprintf("user%d", i%900), fmt.Sprintf("S-1-5-21-1004336348-1177238915-682003330-%d", i%900), int64(i) << 33, "explorer.exe",
			`C:\Windows\system32\svchost.exe -k netsvcs -p -s Schedule ` + hash(80), hash(40), at, i,
			map[string]any{"InitiatingProcess": map[string]any{"Integrity": "Medium", "Token": i % 7}, "Tags": []string{"a", "b"}}, i % 2}
		row := make(map[string]any, len(names))
		for k, n := range names {
			row[n] = values[k]
		}
		line, err := json.Marshal(row)
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(w, "%s%s", strings.Repeat(",", min(i, 1)), line)
	}
	fmt.Fprint(w, `]}`)
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes(), w.n
}

// counted counts what goes through it.
type counted struct {
	w io.Writer
	n int
}

func (c *counted) Write(p []byte) (int, error) {
	c.n += len(p)
	return c.w.Write(p)
}
