package store_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
)

// benchRows is a full answer, about: the columns of a process event that most
// queries ask for.
const benchRows = 98_000

// benchColumns are 24 columns of the common types.
var benchColumns = columns(
	"Timestamp", "DateTime", "DeviceId", "String", "DeviceName", "String", "ActionType", "String", "FileName", "String", "FolderPath", "String",
	"SHA1", "String", "SHA256", "String", "MD5", "String", "FileSize", "Int64", "ProcessId", "Int64", "ProcessCommandLine", "String",
	"ProcessCreationTime", "DateTime", "AccountDomain", "String", "AccountName", "String", "AccountSid", "String", "LogonId", "Int64",
	"InitiatingProcessFileName", "String", "InitiatingProcessCommandLine", "String", "InitiatingProcessSHA1", "String",
	"InitiatingProcessCreationTime", "DateTime", "ReportId", "Int64", "AdditionalFields", "Object", "IsInitiatingProcessRemoteSession", "SByte",
)

// benchServed are rows as they are served, 1.3 kB of JSON each. An answer has
// each of them many times, told apart by benchAnswer.
func benchServed() [][][]byte {
	served := make([][][]byte, 1000)
	for n := range served {
		at := t0.Add(time.Duration(n*7919%86_400)*time.Second).Format("2006-01-02T15:04:05") + ".1234567Z"
		hash := func(digits int) string { return fmt.Sprintf("%0*x", digits, uint64(n)*0x9e3779b97f4a7c15) }
		for _, v := range []string{
			quoted(at), quoted(hash(40)), quoted(fmt.Sprintf("workstation-%d.corp.example.com", n%500)), `"ProcessCreated"`,
			quoted(fmt.Sprintf("tool%d.exe", n%100)), quoted(fmt.Sprintf(`C:\Program Files\Vendor %d\Application`, n%50)),
			quoted(hash(40)), quoted(hash(64)), quoted(hash(32)), fmt.Sprint(n * 17), fmt.Sprint(n),
			quoted(fmt.Sprintf(`"C:\Program Files\Vendor %d\tool%d.exe" --type=renderer --lang=en-US --field-trial-handle=%d,%s --disable-features=Translate`, n%50, n%100, n, hash(64))),
			quoted(at), `"corp"`, quoted(fmt.Sprintf("user%d", n%900)), quoted(fmt.Sprintf("S-1-5-21-1004336348-1177238915-682003330-%d", n%900)),
			fmt.Sprint(int64(n) << 33), `"explorer.exe"`, quoted(fmt.Sprintf(`C:\Windows\system32\svchost.exe -k netsvcs -p -s Schedule %s`, hash(80))),
			quoted(hash(40)), quoted(at), fmt.Sprint(n), fmt.Sprintf(`{"InitiatingProcess":{"Integrity":"Medium","Token":%d},"Tags":["a","b"]}`, n%7), fmt.Sprint(n % 2),
		} {
			served[n] = append(served[n], []byte(v))
		}
	}
	return served
}

// benchAnswer calls add with rows that differ in their ReportId.
func benchAnswer(served [][][]byte, rows int, add func([][]byte)) {
	const reportID = 21
	var id []byte
	for n := range rows {
		id = strconv.AppendInt(id[:0], int64(n), 10)
		values := served[n%len(served)]
		values[reportID] = id
		add(values)
	}
}

// BenchmarkHuntingLoad compares HuntRows and Commit with psql's \copy of the same
// rows into a table that is the same, and says what reading them again costs.
func BenchmarkHuntingLoad(b *testing.B) {
	url := storetest.URL(b)
	s, err := store.Open(b.Context(), url, 4)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	h := hunterOn(workerOn(b, s), device)
	served := benchServed()
	file := filepath.Join(b.TempDir(), "rows.copy")
	var ours, load, psql, again time.Duration
	var wal, heap int64
	for b.Loop() {
		h.loadBench(b, served, 1) // makes the table
		h.exec(`TRUNCATE hunting.device_events`)
		heap = max(heap, peakHeap(func() {
			total, commit := h.loadBench(b, served, benchRows)
			ours, load = ours+total, load+commit
		}))
		before := h.walAt()
		total, _ := h.loadBench(b, served, benchRows)
		again += total
		wal = h.walAt() - before
		h.want(`SELECT count(*) FROM hunting.device_events`, fmt.Sprint(benchRows))
		psqlRun(b, url, `\copy (SELECT * FROM hunting.device_events) TO '`+file+`'`)
		h.exec(`TRUNCATE hunting.device_events`)
		begin := time.Now()
		psqlRun(b, url, `\copy hunting.device_events FROM '`+file+`'`)
		psql += time.Since(begin)
	}
	rate := func(d time.Duration) float64 { return float64(b.N) * benchRows / d.Seconds() }
	b.ReportMetric(rate(ours), "rows/s")
	b.ReportMetric(rate(psql), "psql-rows/s")
	b.ReportMetric(rate(ours)/rate(psql), "ratio")
	b.ReportMetric(rate(load)/rate(psql), "commit-ratio")
	b.ReportMetric(rate(again), "again-rows/s")
	b.ReportMetric(float64(wal), "again-WAL-bytes")
	b.ReportMetric(float64(heap)/(1<<20), "heap-MiB")
}

// loadBench stores the rows as one answer and returns how long it took, and how
// long of that the commit.
func (h *hunter) loadBench(b *testing.B, served [][][]byte, rows int) (total, commit time.Duration) {
	b.Helper()
	begin := time.Now()
	if err := h.rows.Begin(b.Context(), benchColumns); err != nil {
		b.Fatal(err)
	}
	benchAnswer(served, rows, func(values [][]byte) {
		if err := h.rows.Add(values, nil); err != nil {
			b.Fatal(err)
		}
	})
	encoded := time.Now()
	h.store()
	return time.Since(begin), time.Since(encoded)
}

// walAt is how much WAL was ever written.
func (h *hunter) walAt() int64 {
	h.t.Helper()
	var n int64
	if err := h.Pool().QueryRow(h.t.Context(), `SELECT pg_current_wal_insert_lsn() - '0/0'`).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// peakHeap is how much more there was on the heap while f ran than before.
func peakHeap(f func()) int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak := m.HeapAlloc, m.HeapAlloc
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
	})
	f()
	close(done)
	all.Wait()
	return int64(peak - before)
}

// psqlRun lets psql, from the directory that PG_BIN names, run a command.
func psqlRun(b *testing.B, url, command string) {
	b.Helper()
	c := exec.Command(filepath.Join(os.Getenv("PG_BIN"), "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command, url)
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, bytes.TrimSpace(out))
	}
}

// BenchmarkHuntingEncode is the client's part of 1,000 rows alone.
func BenchmarkHuntingEncode(b *testing.B) {
	h := newHunter(b, device)
	served := benchServed()
	bytes := 0
	benchAnswer(served, len(served), func(values [][]byte) {
		for i, v := range values {
			bytes += len(v) + len(benchColumns[i].Name) + len(`"":,`)
		}
	})
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	for b.Loop() {
		if err := h.rows.Begin(b.Context(), benchColumns); err != nil {
			b.Fatal(err)
		}
		benchAnswer(served, len(served), func(values [][]byte) {
			if err := h.rows.Add(values, nil); err != nil {
				b.Fatal(err)
			}
		})
	}
}
