package sync_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

const (
	weaknesses     = `hunting.device_tvm_software_vulnerabilities`
	weaknessStream = `hunting/device_tvm_software_vulnerabilities`
)

// manyWeaknesses is a table without a time that takes many answers of cap rows.
// One row is there so often that its slice does not fit, and is cut.
func manyWeaknesses(n, cap int) huntOptions {
	tables := defendersim.NewHunting()
	tables.AddTable(weaknessTable)
	var rows []defendersim.HuntRow
	for i := range n {
		rows = append(rows, weakness(i%7, i, "Low"))
	}
	for range cap * 7 / 10 {
		rows = append(rows, rows[0])
	}
	tables.Replace(weaknessTable.Name, rows...)
	return huntOptions{tables: tables, cap: cap, hunts: []defsync.Hunt{{Name: weaknessTable.Name, Table: weaknessTable.Name}}}
}

// snapshotEnv tells this test binary that it is to read a snapshot, and which.
const snapshotEnv = "DEFENDERSYNC_PROOF_SNAPSHOT"

// TestHelperSnapshot is not a test: it is the process that TestKilledSnapshot kills.
func TestHelperSnapshot(t *testing.T) {
	text := os.Getenv(snapshotEnv)
	if text == "" {
		t.Skip("runs only as the worker of another test")
	}
	r, _ := rigOf(t, text)
	w := r.newWorker(t, r.openStore(t), fmt.Sprintf("process %d", os.Getpid()))
	for _, res := range w.Sync(t.Context(), "", nil) {
		if res.Outcome != defsync.OutcomeOK {
			t.Fatalf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
		}
	}
}

// snapshotProcess starts a pass of the snapshot in a process of its own.
func (r *rig) snapshotProcess(t *testing.T) *exec.Cmd {
	t.Helper()
	h := r.opt.hunts[0]
	job, err := json.Marshal(fillerJob{DSN: r.dsn, URL: r.url, App: r.app, Now: r.clock.Now(), Dialect: r.opt.dialect, Table: h.Table, Cap: h.Cap})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperSnapshot$")
	cmd.Env = append(os.Environ(), snapshotEnv+"="+string(job))
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestKilledSnapshot kills the reading of a table in many answers at random
// instants, and lets another process go on: twice, and the second time nothing
// has changed. Nobody sees a part of the result, the count is not repeated
// either, each kill costs one request at most, and nothing is left behind.
func TestKilledSnapshot(t *testing.T) {
	for i, d := range dialects {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			opt := manyWeaknesses(1500, 100)
			opt.dialect = d
			calm := newHuntRig(t, opt)
			calm.sync(t)
			if n := calm.sim.Calls(); n < 9 {
				t.Fatalf("the table takes %d requests: the test is none", n)
			}
			k := &killer{answered: make(chan struct{}, 1<<10)}
			opt.sim.OnAnswer = func(int) { k.answered <- struct{}{} }
			r := newHuntRig(t, opt)
			chance := rand.New(rand.NewPCG(uint64(i), 5))
			for reading, was := range []int64{0, 1500} {
				before := r.sim.Calls()
				dead := r.killSnapshot(t, k, chance, was)
				calls := r.sim.Calls() - before
				t.Logf("reading %d: %d killed, %d requests, %d without a kill", reading, dead, calls, calm.sim.Calls())
				if dead < 8 {
					t.Errorf("only %d were killed", dead)
				}
				if calls > calm.sim.Calls()+dead {
					t.Errorf("a kill cost more than one request")
				}
				r.snapshotEquals(t)
			}
			r.sync(t) // which notes that the last worker may have died between its last commit and its exit
			r.vouched(t)
			r.unmarked(t)
		})
	}
}

// killSnapshot reads the snapshot by processes that are killed one after the
// other until one has stored it. Meanwhile there are as many rows as there were.
func (r *rig) killSnapshot(t *testing.T, k *killer, chance *rand.Rand, was int64) (dead int) {
	t.Helper()
	r.clock.advance(10 * time.Second)
	begun := r.clock.Now()
	for {
		n, after := 1+chance.IntN(2), time.Duration(chance.IntN(8_000))*time.Microsecond // a fast machine does not get far
		if dead >= 30 {                                                                  // which is more than it can take
			n = 1 << 20
		}
		done := k.kill(t, r.snapshotProcess(t), n, after)
		r.expireLease(t)
		// No one sees what a commit that landed after its process has done, before it has.
		if _, err := r.db.Exec(t.Context(), `SELECT FROM sync.leases FOR UPDATE`); err != nil {
			t.Fatal(err)
		}
		for len(k.answered) > 0 {
			<-k.answered
		}
		const ended = `SELECT coalesce(max(passed_at), '-infinity') >= $1 FROM sync.checkpoints`
		var passed bool
		if err := r.db.QueryRow(t.Context(), ended, begun).Scan(&passed); err != nil {
			t.Fatal(err)
		}
		if !done {
			dead++
		}
		if passed {
			return dead
		}
		if value[bool](t, r.db, `SELECT to_regclass('`+weaknesses+`') IS NOT NULL`) {
			if n := value[int64](t, r.db, `SELECT count(*) FROM `+weaknesses); n != was {
				t.Fatalf("%d rows can be seen of a reading under way, want %d", n, was)
			}
		}
	}
}

// snapshotEquals compares what is valid now with the source, and fails where
// there is a row more or a part left.
func (r *rig) snapshotEquals(t *testing.T) {
	t.Helper()
	r.huntEqualsSource(t) // no row was ended or changed in these tests
	if n := value[int64](t, r.db, `SELECT count(*) FROM sync.hunting_parts`); n != 0 {
		t.Errorf("%d parts are left", n)
	}
}

// TestIdleSnapshotWritesNothing reads a table in many answers that has not
// changed: no row is touched, and next to no WAL is written.
func TestIdleSnapshotWritesNothing(t *testing.T) {
	r := newHuntRig(t, manyWeaknesses(9000, 1000))
	const marks = `SELECT md5(string_agg(format('%s %s %s', ctid, xmin, xmax), ',' ORDER BY ctid)) FROM ` + weaknesses
	first := r.wal(t)
	r.sync(t)
	first = r.wal(t) - first
	before := value[string](t, r.db, marks)
	r.clock.advance(time.Hour)
	calls := r.sim.Calls()
	second := r.wal(t)
	res := r.sync(t)[0]
	second = r.wal(t) - second
	t.Logf("WAL: %d bytes for the first pass, %d for an idle one of %d requests", first, second, r.sim.Calls()-calls)
	if res.Inserted+res.Updated != 0 || res.Read < 9000 {
		t.Errorf("the idle pass ended %+v", res)
	}
	if r.sim.Calls()-calls < 9 {
		t.Errorf("the idle pass made %d requests: the test is none", r.sim.Calls()-calls)
	}
	if second > idleWAL {
		t.Errorf("an idle pass wrote %d bytes of WAL", second)
	}
	if value[string](t, r.db, marks) != before {
		t.Error("rows were touched")
	}
	r.snapshotEquals(t)
}

// TestSnapshotGoesOn cuts a reading off after some answers. What is done to it
// then decides how much of it the next pass asks for again: what is left, or
// everything.
func TestSnapshotGoesOn(t *testing.T) {
	const answered = 6 // the count among them
	for name, c := range map[string]struct {
		sql  string
		wait time.Duration
		hash []string
		all  bool
	}{
		"nothing":         {wait: time.Minute},
		"up to an hour":   {wait: time.Hour},
		"too old":         {wait: time.Hour + time.Second, all: true},
		"a crash":         {sql: `TRUNCATE sync.hunting_parts`, all: true},
		"a lost part":     {sql: `DELETE FROM sync.hunting_parts WHERE part_no = 3`, all: true},
		"another layout":  {sql: `UPDATE sync.hunting_columns SET type = 'jsonb' WHERE column_name = 'device_name'`, all: true},
		"a column hidden": {hash: []string{"DeviceName"}, all: true},
	} {
		t.Run(name, func(t *testing.T) {
			opt := manyWeaknesses(1500, 100)
			calm := newHuntRig(t, opt)
			calm.sync(t)
			r := newHuntRig(t, opt)
			off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Endpoint: defendersim.Hunting, Skip: answered})
			cut := r.worker.Sync(t.Context(), "", nil)[0]
			off()
			if cut.Outcome != defsync.OutcomeFailed || cut.Calls != answered+1 {
				t.Fatalf("the reading was not cut off: %+v", cut)
			}
			if n := value[int64](t, r.db, `SELECT count(*) FROM `+weaknesses); n != 0 {
				t.Errorf("%d rows can be seen of a reading under way", n)
			}
			if c.sql != "" {
				if _, err := r.db.Exec(t.Context(), c.sql); err != nil {
					t.Fatal(err)
				}
			}
			if c.hash != nil {
				h := opt.hunts[0]
				h.Hash, h.Cap, h.AutoMigrate = c.hash, 100, true
				hunt, err := h.Resolve()
				if err != nil {
					t.Fatal(err)
				}
				r.opt.hunts = []*defsync.Hunt{hunt}
			}
			r.clock.advance(c.wait)
			r.worker = r.newWorker(t, r.store, "first") // with a token that has not expired
			res := r.sync(t)[0]
			want := int64(len(calm.huntCalls(0)))
			if !c.all {
				want -= answered
			}
			if res.Calls != want {
				t.Errorf("the next pass made %d requests, want %d", res.Calls, want)
			}
			if read := value[int64](t, r.db, `SELECT sum(rows_read)::bigint FROM sync.runs`); !c.all && read != 1570 {
				t.Errorf("the two passes say that they have read %d rows, want 1570", read)
			}
			if c.hash == nil && !strings.Contains(c.sql, "jsonb") {
				r.snapshotEquals(t)
			} else if n := value[int64](t, r.db, `SELECT count(*) FROM `+weaknesses+` WHERE device_name IS DISTINCT FROM 'host'`); c.hash != nil && n != 1500 {
				t.Errorf("%d rows have the name hidden", n)
			}
			if n := value[int64](t, r.db, `SELECT rows FROM sync.coverage`); n != 1570 {
				t.Errorf("the ledger has %d rows, want 1570", n)
			}
			r.vouched(t)
		})
	}
}

// TestSnapshotInOneAnswer needs no parts: it works where there is no such table.
// Its count is not repeated either.
func TestSnapshotInOneAnswer(t *testing.T) {
	opt := manyWeaknesses(50, 100)
	opt.tables.Replace(weaknessTable.Name, weakness(1, 1, "Low"), weakness(2, 2, "Low"))
	r := newHuntRig(t, opt)
	if _, err := r.db.Exec(t.Context(), `DROP TABLE sync.hunting_parts`); err != nil {
		t.Fatal(err)
	}
	off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Endpoint: defendersim.Hunting, Skip: 1})
	if cut := r.worker.Sync(t.Context(), "", nil)[0]; cut.Outcome != defsync.OutcomeFailed {
		t.Fatalf("the reading was not cut off: %+v", cut)
	}
	off()
	if res := r.sync(t)[0]; res.Calls != 1 || res.Inserted != 2 {
		t.Errorf("the next pass ended %+v", res)
	}
}
