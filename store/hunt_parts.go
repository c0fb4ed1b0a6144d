package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// A whole result that one answer does not hold is read in several, and stored
// when the last one has come. So that a crash does not cost all of them, each
// that was accepted goes to sync.hunting_parts, together with the checkpoint
// that counts on it: the bytes of the spool, which say by themselves what rows
// they are, in chunks.

// HuntParts says what a commit does about the parts of a result that are stored
// while it is being read.
type HuntParts int

// What a commit does about parts.
const (
	PartsLeft    HuntParts = iota // nothing: there are none
	PartsAdded                    // Hunt's answers become parts, and the table stays as it is
	PartsRemoved                  // the stream's parts are removed: the result is stored
)

// HuntHeld says how much of a result was accepted: enough to tell whether all of
// it is still there.
type HuntHeld struct {
	Reading string `json:"reading"` // which reading of the table this is
	Answers int    `json:"answers"`
	Rows    int64  `json:"rows"`
	Bytes   int64  `json:"bytes"`
}

// ErrPartsLost means that the parts of a result are not, or not any more, what
// could be gone on from: the result has to be read from its begin.
var ErrPartsLost = errors.New("the answers that were kept are of no use any more")

// The records of a spool that can become parts.
const (
	recordAnswer = 'a' // uint32 size, answerHead as JSON: the rows after it are this answer's
	recordRow    = 'r' // key, hash, uint64 time, uint32 size, fields
	recordOdd    = 'o' // uint32 size of the reason, uint32 size, reason, bytes
)

// answerHead begins an answer.
type answerHead struct {
	Columns []HuntColumn
	Layout  string // see layout
}

// recorded reports whether the spool says by itself what is in it.
func (r *HuntRows) recorded() bool { return r.spec.Mode != HuntEvents }

// recordHead begins an answer in the spool.
func (r *HuntRows) recordHead() error {
	if !r.recorded() {
		return nil
	}
	head, err := json.Marshal(answerHead{r.served, r.spec.layout(r.shapes[len(r.shapes)-1])})
	if err != nil {
		return err
	}
	r.answers++
	_, err = r.spool.append(append(binary.BigEndian.AppendUint32([]byte{recordAnswer}, uint32(len(head))), head...))
	return err
}

// appendRowHead appends what comes before a row's fields.
func appendRowHead(dst []byte, row *huntRow) []byte {
	dst = append(append(append(dst, recordRow), row.key[:]...), row.hash[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(row.time))
	return binary.BigEndian.AppendUint32(dst, uint32(len(row.body)))
}

// oddHead is what comes before the bytes of what is no row.
func oddHead(reason string, size int) []byte {
	head := binary.BigEndian.AppendUint32([]byte{recordOdd}, uint32(len(reason)))
	return append(binary.BigEndian.AppendUint32(head, uint32(size)), reason...)
}

// layout stands for all that the bytes of a row depend on besides what was
// served: where its values go, and what the configuration makes of them.
func (s *HuntSpec) layout(shape *huntShape) string {
	const version = "1"
	return fmt.Sprintf("%x", digest(version, fmt.Sprintf("%#v", *s), fmt.Sprintf("%#v", *shape)))
}

// Held says what was accepted so far. It is for results that are read whole.
func (r *HuntRows) Held() HuntHeld {
	if r.reading == "" {
		r.reading = uuid.NewString()
	}
	return HuntHeld{Reading: r.reading, Answers: r.keptAnswers, Rows: r.index.keptLen(), Bytes: r.keptSize}
}

// partBytes is how large a part is.
const partBytes = 1 << 20

// commitParts is [Store.Commit] of answers to a result that is still being read.
// The lease is locked last, as in commitHunt.
func (s *Store) commitParts(ctx context.Context, c *Commit) (*writer, error) {
	const attempts = 5
	r := c.Hunt
	var w *writer
	var last int
	var err error
	for range attempts {
		err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
			w = &writer{tx: tx, batch: &pgx.Batch{}}
			queueFence(w.batch, c.Lease, &w.now)
			if err := w.send(ctx); err != nil {
				return err
			}
			if last, err = w.writeParts(ctx, c); err != nil {
				return err
			}
			queueGuard(w.batch, c.Lease, &w.now)
			queueCheckpoint(w.batch, c.Checkpoint, Counts{}, w.now, &w.stored)
			return w.send(ctx)
		})
		if code(err) != "23505" { // a worker that did not see that it had lost the lease
			break
		}
	}
	if err != nil {
		return nil, err
	}
	r.parts, r.partsSize = last, r.keptSize
	return w, nil
}

// writeParts stores what was accepted since the last time and returns the number
// of the last part.
func (w *writer) writeParts(ctx context.Context, c *Commit) (int, error) {
	const keep = `
		INSERT INTO sync.hunting_parts (tenant_id, stream, part_no, reading, kept_at, bytes)
		VALUES ($1, $2, $3, $4, $5, $6)`
	r := c.Hunt
	last := r.parts
	if last == 0 {
		w.queueOldParts(c)
	}
	in, left := r.spool.reader(r.partsSize, r.keptSize), r.keptSize-r.partsSize
	chunk := make([]byte, min(left, partBytes))
	for left > 0 {
		chunk = chunk[:min(left, partBytes)]
		if _, err := io.ReadFull(in, chunk); err != nil {
			return 0, spoolError(err)
		}
		left -= int64(len(chunk))
		last++
		w.batch.Queue(keep, c.Lease.TenantID, c.Checkpoint.Stream, last, r.reading, w.now, chunk)
		if err := w.send(ctx); err != nil {
			return 0, err
		}
	}
	return last, nil
}

// partsAge is after which time parts are nobody's: their stream is not read any
// more, or not whole.
const partsAge = 24 * time.Hour

// queueOldParts removes the stream's parts of earlier readings, and those of
// streams that were forgotten.
func (w *writer) queueOldParts(c *Commit) {
	const remove = `
		DELETE FROM sync.hunting_parts
		WHERE tenant_id = $1 AND (stream = $2 OR kept_at < $3)`
	w.batch.Queue(remove, c.Lease.TenantID, c.Checkpoint.Stream, w.now.Add(-partsAge))
}

// checkParts reports what no caller may hand in.
func (c *Commit) checkParts() error {
	switch {
	case c.Parts == PartsLeft || c.Hunt != nil && c.Hunt.recorded():
		return nil
	default:
		return errors.New("parts are of a hunting result that is read whole")
	}
}

// Restore loads the parts of a stream's result that an earlier run accepted: a
// next Begin adds to them. What held says must be there to the byte, laid out as
// it would be now; else the error is [ErrPartsLost], and nothing was loaded.
func (r *HuntRows) Restore(ctx context.Context, stream string, held HuntHeld) error {
	r.Reset()
	err := r.restore(ctx, stream, held)
	if err != nil {
		r.Reset()
		return fmt.Errorf("store: load what was kept of %s: %w", stream, err)
	}
	return nil
}

func (r *HuntRows) restore(ctx context.Context, stream string, held HuntHeld) error {
	if _, err := uuid.Parse(held.Reading); err != nil || !r.recorded() {
		return ErrPartsLost
	}
	if err := r.loadParts(ctx, stream, held); err != nil {
		return err
	}
	if err := r.readRecords(ctx); err != nil {
		return err
	}
	r.reading, r.partsSize = held.Reading, r.spool.size()
	r.Keep()
	if r.Held() != held {
		return ErrPartsLost
	}
	return nil
}

// loadParts fills the spool.
func (r *HuntRows) loadParts(ctx context.Context, stream string, held HuntHeld) error {
	const load = `
		SELECT part_no, bytes
		FROM sync.hunting_parts
		WHERE tenant_id = $1 AND stream = $2 AND reading = $3
		ORDER BY part_no`
	rows, err := r.store.pool.Query(ctx, load, r.spec.TenantID, stream, held.Reading)
	if err != nil {
		return err
	}
	var number int
	var chunk pgtype.DriverBytes
	_, err = pgx.ForEachRow(rows, []any{&number, &chunk}, func() error {
		r.parts++
		if number != r.parts || r.spool.size()+int64(len(chunk)) > held.Bytes {
			return ErrPartsLost
		}
		_, err := r.spool.append(chunk)
		return err
	})
	if err != nil {
		return err
	}
	return r.spool.settle()
}

// readRecords finds the rows that are in the spool.
func (r *HuntRows) readRecords(ctx context.Context) error {
	in := &recordReader{in: bufio.NewReaderSize(r.spool.reader(0, r.spool.size()), 1<<16)}
	for {
		var err error
		switch kind, end := in.kind(); {
		case end:
			return nil
		case kind == recordAnswer:
			err = r.readAnswer(ctx, in)
		case kind == recordRow && r.answers > 0:
			r.readRow(in)
		case kind == recordOdd:
			r.readOdd(in)
		default:
			err = ErrPartsLost
		}
		if err = errors.Join(in.err, err); err != nil {
			return err
		}
	}
}

// readAnswer makes the rows that follow the answer's.
func (r *HuntRows) readAnswer(ctx context.Context, in *recordReader) error {
	var head answerHead
	if err := json.Unmarshal(in.take(in.number()), &head); err != nil {
		return ErrPartsLost
	}
	r.answers++
	r.keepIndex()
	if err := r.begin(ctx, head.Columns); err != nil {
		return err
	}
	if r.spec.layout(r.shapes[len(r.shapes)-1]) != head.Layout {
		return ErrPartsLost
	}
	return nil
}

func (r *HuntRows) readRow(in *recordReader) {
	e := huntEntry{shape: int32(len(r.shapes) - 1)}
	copy(e.key[:], in.take(16))
	copy(e.hash[:], in.take(16))
	if b := in.take(8); len(b) == 8 {
		e.time = int64(binary.BigEndian.Uint64(b))
	}
	e.size = int32(in.number())
	e.at = in.at
	in.skip(int(e.size))
	r.index.add(e)
}

func (r *HuntRows) readOdd(in *recordReader) {
	reason, size := in.number(), in.number()
	o := oddRow{reason: string(in.take(reason)), at: in.at, size: size}
	in.skip(size)
	r.odd = append(r.odd, o)
}

// recordReader reads records. After an error there is nothing but zeros.
type recordReader struct {
	in  *bufio.Reader
	at  int64 // of what is read next, in the spool
	err error
	buf []byte
}

// kind reads the first byte of a record; end says that there is none.
func (r *recordReader) kind() (kind byte, end bool) {
	b, err := r.in.ReadByte()
	if err == io.EOF {
		return 0, true
	}
	r.fail(err)
	r.at++
	return b, false
}

func (r *recordReader) number() int {
	b := r.take(4)
	if len(b) < 4 {
		return 0
	}
	return int(binary.BigEndian.Uint32(b))
}

// take reads n bytes, which are valid until the next call.
func (r *recordReader) take(n int) []byte {
	if r.err != nil || n > 64<<20 {
		r.fail(ErrPartsLost)
		return nil
	}
	r.buf = slices.Grow(r.buf[:0], n)[:n]
	read, err := io.ReadFull(r.in, r.buf)
	r.at += int64(read)
	r.fail(err)
	return r.buf[:read]
}

func (r *recordReader) skip(n int) {
	read, err := r.in.Discard(n)
	r.at += int64(read)
	r.fail(err)
}

// fail remembers the first error. Bytes that end early are none that were stored.
func (r *recordReader) fail(err error) {
	switch {
	case err == nil || r.err != nil:
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		r.err = ErrPartsLost
	default:
		r.err = err
	}
}
