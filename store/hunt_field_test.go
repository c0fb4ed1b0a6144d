package store_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"defendersync/store"
)

// decode reads a field as PostgreSQL would.
func decode[T any](rt *rapid.T, served, value string, oid uint32) (v T, ok bool) {
	field, ok := store.HuntField(served, []byte(value))
	if !ok {
		return v, false
	}
	if err := pgtype.NewMap().Scan(oid, pgtype.BinaryFormatCode, field, &v); err != nil {
		rt.Fatalf("%s of %s: %v", served, value, err)
	}
	return v, true
}

// Every decimal is the number that it was served as, with the digits behind the
// point that it was served with.
func TestHuntNumericField(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?`).Draw(rt, "number")
		got, ok := decode[pgtype.Numeric](rt, "Decimal", text, pgtype.NumericOID)
		if !ok {
			rt.Fatalf("%s does not fit", text)
		}
		want, _ := new(big.Rat).SetString(text)
		have := new(big.Rat).SetInt(got.Int)
		power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(got.Exp, -got.Exp))), nil))
		if got.Exp < 0 {
			power.Inv(power)
		}
		if have.Mul(have, power).Cmp(want) != 0 {
			rt.Fatalf("%s became %v", text, got)
		}
	})
}

// Whole numbers fit where they are in range, however they are written.
func TestHuntIntegerField(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.Int64().Draw(rt, "n")
		zeros := rapid.IntRange(0, 3).Draw(rt, "zeros")
		for _, text := range []string{fmt.Sprint(n), quoted(fmt.Sprint(n)), fmt.Sprint(n) + "." + strings.Repeat("0", zeros+1), fmt.Sprintf("%de0", n)} {
			if got, ok := decode[int64](rt, "Int64", text, pgtype.Int8OID); !ok || got != n {
				rt.Fatalf("%s became %d, %v", text, got, ok)
			}
			got, ok := decode[int32](rt, "Int32", text, pgtype.Int4OID)
			if inRange := n == int64(int32(n)); ok != inRange || ok && int64(got) != n {
				rt.Fatalf("%s became %d, %v", text, got, ok)
			}
		}
	})
}

// A double is the nearest one to what was served.
func TestHuntDoubleField(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.Float64().Draw(rt, "f")
		text, err := json.Marshal(f)
		if err != nil {
			rt.Skip("no JSON")
		}
		if got, ok := decode[float64](rt, "Double", string(text), pgtype.Float8OID); !ok || math.Float64bits(got) != math.Float64bits(f) {
			rt.Fatalf("%s became %v, %v", text, got, ok)
		}
	})
}

// A time is what it was, truncated down to microseconds; on every day there is.
func TestHuntTimeField(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seconds := rapid.Int64Range(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()).Draw(rt, "seconds")
		ticks := rapid.Int64Range(0, 9_999_999).Draw(rt, "ticks")
		at := time.Unix(seconds, ticks*100).UTC()
		text := at.Format("2006-01-02T15:04:05.9999999Z")
		got, ok := decode[time.Time](rt, "DateTime", quoted(text), pgtype.TimestamptzOID)
		if want := at.Add(-time.Duration(at.Nanosecond() % 1000)); !ok || !got.Equal(want) {
			rt.Fatalf("%s became %s, %v", text, got.UTC(), ok)
		}
		// And one day too many in the month is none.
		last := time.Date(at.Year(), at.Month()+1, 0, 0, 0, 0, 0, time.UTC)
		if last.Day() == 31 {
			return
		}
		wrong := fmt.Sprintf("%04d-%02d-%02d", at.Year(), at.Month(), last.Day()+1)
		if _, ok := store.HuntField("DateTime", []byte(quoted(wrong))); ok {
			rt.Fatalf("%s is taken", wrong)
		}
	})
}

// A span of time is as long as .NET meant it.
func TestHuntSpanField(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ticks := rapid.Int64().Draw(rt, "ticks")
		if ticks == math.MinInt64 {
			ticks++
		}
		sign, rest := "", ticks
		if ticks < 0 {
			sign, rest = "-", -ticks
		}
		const second = 10_000_000
		days, rest := rest/(86400*second), rest%(86400*second)
		text := fmt.Sprintf("%s%d.%02d:%02d:%02d.%07d", sign, days, rest/(3600*second), rest/(60*second)%60, rest/second%60, rest%second)
		got, ok := decode[pgtype.Interval](rt, "TimeSpan", quoted(text), pgtype.IntervalOID)
		if micros := int64(got.Days)*86_400_000_000 + got.Microseconds; !ok || got.Months != 0 || micros != ticks/10 {
			rt.Fatalf("%s became %+v, %v", text, got, ok)
		}
	})
}

// A text is what encoding/json makes of it, less what PostgreSQL cannot hold.
func FuzzHuntText(f *testing.F) {
	for _, s := range []string{`""`, `"a"`, `"\u0000\ud83d\ude42"`, `"\ud800"`, `"C:\\x\"\/\b\f\n\r\t"`, "\"\xff\"", `"\udc00\ud800\u00e9"`, `"é\\u0041"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := store.HuntText(raw)
		if got != store.CleanText(got) && len(raw) > 0 && raw[0] == '"' {
			t.Fatalf("%q became %q, which PostgreSQL refuses", raw, got)
		}
		var want string
		if json.Unmarshal(raw, &want) != nil {
			return
		}
		if got != store.CleanText(want) && string(raw) != "null" {
			t.Fatalf("%q became %q, want %q", raw, got, store.CleanText(want))
		}
	})
}

// A document is what CleanJSON makes of it, and nothing that it refuses.
func FuzzHuntDocument(f *testing.F) {
	for _, s := range []string{`{"a":1,"a":[2.5e3]}`, `[1e999999]`, `"\u0000"`, `{"a":`, "[" + strings.Repeat("1", 1500) + "]", `{"e":"1e5","\"":"["}`, ` [ ] `, `1.`, "\"\xff\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, ok := store.HuntDocument(in)
		want, err := store.CleanJSON(in)
		switch {
		case ok && err != nil:
			t.Fatalf("%q is taken: %v", in, err)
		case ok && string(got) != string(want):
			t.Fatalf("%q became %q, want %q", in, got, want)
		case !ok && err == nil && strings.Count(string(in), "[")+strings.Count(string(in), "{") <= 500:
			t.Fatalf("%q is refused", in)
		}
	})
}

// What is read from a spool is what was appended, in memory, from the file, and
// after some of it was forgotten.
func TestHuntSpool(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s store.Spool
	type record struct {
		at   int64
		text string
	}
	var kept []record
	check := func(r record) {
		t.Helper()
		if got, err := s.Read(r.at, len(r.text)); err != nil || string(got) != r.text {
			t.Fatalf("%d bytes at %d are not what was appended: %v", len(r.text), r.at, err)
		}
	}
	for step := range 400 {
		if step%50 == 49 {
			n := random.IntN(len(kept))
			s.Truncate(kept[n].at)
			if s.Size() != kept[n].at {
				t.Fatalf("size %d after forgetting all from %d on", s.Size(), kept[n].at)
			}
			kept = kept[:n]
		}
		text := strings.Repeat(fmt.Sprintf("%d,", step), random.IntN(20_000))
		at, err := s.Append([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, record{at, text})
		check(kept[random.IntN(len(kept))])
	}
	for _, r := range kept {
		check(r)
	}
	if !s.InFile() {
		t.Error("nothing went to the file: the test is too small")
	}
	if err := s.Close(); err != nil || s.Size() != 0 {
		t.Errorf("closed with %d bytes, %v", s.Size(), err)
	}
}

// Windows of one table that are stored at once, as a backfill does, each row
// once, whoever comes first.
func TestHuntParallelWindows(t *testing.T) {
	h := newHunter(t, device)
	h.add(deviceColumns) // makes the table
	const windows, rows = 4, 600
	counts := make([]store.Counts, windows)
	errs := make(chan error, windows)
	for n := range windows {
		w := workerStream(h.worker, fmt.Sprint("hunting/window_", n))
		o := &hunter{worker: w, spec: h.spec, rows: h.NewHuntRows(h.spec)}
		o.add(deviceColumns)
		for i := range rows {
			o.addRow(deviceColumns, event(i+n*rows/2, fmt.Sprint(i+n*rows/2), "file"))
		}
		c := o.next()
		c.Hunt = o.rows
		go func() {
			_, got, err := o.Store.Commit(t.Context(), c)
			counts[n] = got
			errs <- err
		}()
	}
	for range windows {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	var sum store.Counts
	for _, c := range counts {
		sum.Inserted += c.Inserted
		sum.Unchanged += c.Unchanged
	}
	const distinct = rows + (windows-1)*rows/2
	if want := (store.Counts{Inserted: distinct, Unchanged: windows*rows - distinct}); sum != want {
		t.Errorf("%+v, want %+v", sum, want)
	}
	h.want(`SELECT count(*), count(DISTINCT report_id) FROM hunting.device_events`, fmt.Sprint(distinct, " ", distinct))
}
