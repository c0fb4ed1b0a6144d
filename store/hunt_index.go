package store

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"iter"
	"os"
	"slices"
)

// rowKey identifies a row within its table: 48 bits of time in milliseconds,
// where the time is part of the identity, and 80 of a digest; else a digest.
type rowKey [16]byte

// prefix is the part of a key that is the same in every key derived from it.
func (k rowKey) prefix() [6]byte { return [6]byte(k[:6]) }

// huntEntry is one row in a spool.
type huntEntry struct {
	key   rowKey
	hash  [16]byte // of the content
	at    int64    // where it is in the spool
	time  int64    // microseconds after epoch, or noTime
	size  int32
	shape int32 // which columns it has: index of HuntRows.shapes
}

const entrySize = 16 + 16 + 8 + 8 + 4 + 4

// indexMemory is how many entries of accepted answers are kept in memory.
const indexMemory = 1 << 18

// huntIndex is the rows of a result in the order of their keys. Where answers
// are many, those accepted are sorted and written to a file, and merged when
// they are read: 5 million rows of a snapshot cost the memory of 300 thousand.
type huntIndex struct {
	entries []huntEntry
	kept    int // of entries: those of accepted answers
	runs    []indexRun
	file    *os.File
	end     int64
	limit   int // of entries in memory; 0 means indexMemory
}

// indexRun is a sorted part of the file.
type indexRun struct{ from, to int64 }

func compareEntries(a, b huntEntry) int {
	return cmp.Or(bytes.Compare(a.key[:], b.key[:]), bytes.Compare(a.hash[:], b.hash[:]), cmp.Compare(a.at, b.at))
}

func (x *huntIndex) add(e huntEntry) { x.entries = append(x.entries, e) }

func (x *huntIndex) len() int64 { return x.end/entrySize + int64(len(x.entries)) }

// keptLen is len without what was added since keep.
func (x *huntIndex) keptLen() int64 { return x.end/entrySize + int64(x.kept) }

// rewind forgets what was added since keep.
func (x *huntIndex) rewind() { x.entries = x.entries[:x.kept] }

// keep accepts what was added.
func (x *huntIndex) keep() error {
	x.kept = len(x.entries)
	if x.kept < cmp.Or(x.limit, indexMemory) {
		return nil
	}
	if x.file == nil {
		f, err := scratchFile()
		if err != nil {
			return err
		}
		x.file = f
	}
	slices.SortFunc(x.entries, compareEntries)
	w := bufio.NewWriterSize(io.NewOffsetWriter(x.file, x.end), 1<<16)
	var b [entrySize]byte
	for i := range x.entries {
		x.entries[i].put(&b)
		if _, err := w.Write(b[:]); err != nil {
			return spoolError(err)
		}
	}
	if err := w.Flush(); err != nil {
		return spoolError(err)
	}
	run := indexRun{x.end, x.end + int64(len(x.entries))*entrySize}
	x.runs, x.end = append(x.runs, run), run.to
	x.entries, x.kept = x.entries[:0], 0
	return nil
}

func (x *huntIndex) reset() { x.entries, x.kept, x.runs, x.end = x.entries[:0], 0, nil, 0 }

func (x *huntIndex) close() error {
	if x.file == nil {
		return nil
	}
	err := x.file.Close()
	x.file = nil
	x.reset()
	return err
}

// sorted yields every entry in order.
func (x *huntIndex) sorted() iter.Seq2[huntEntry, error] {
	return func(yield func(huntEntry, error) bool) {
		slices.SortFunc(x.entries, compareEntries)
		sources := []*indexReader{{memory: x.entries}}
		for _, r := range x.runs {
			sources = append(sources, &indexReader{file: bufio.NewReaderSize(io.NewSectionReader(x.file, r.from, r.to-r.from), 1<<15)})
		}
		for _, s := range sources {
			s.next()
		}
		for {
			best := least(sources)
			if best == nil {
				return
			}
			if best.err != nil {
				yield(huntEntry{}, best.err)
				return
			}
			if !yield(best.entry, nil) {
				return
			}
			best.next()
		}
	}
}

// least returns the source with the least entry, or one that failed.
func least(sources []*indexReader) *indexReader {
	var best *indexReader
	for _, s := range sources {
		switch {
		case s.err != nil:
			return s
		case s.done:
		case best == nil || compareEntries(s.entry, best.entry) < 0:
			best = s
		}
	}
	return best
}

// indexReader reads one sorted part of an index.
type indexReader struct {
	memory []huntEntry
	file   *bufio.Reader // nil for the part in memory
	entry  huntEntry
	done   bool
	err    error
}

func (r *indexReader) next() {
	if r.file == nil {
		if r.done = len(r.memory) == 0; !r.done {
			r.entry, r.memory = r.memory[0], r.memory[1:]
		}
		return
	}
	var b [entrySize]byte
	switch _, err := io.ReadFull(r.file, b[:]); {
	case err == io.EOF:
		r.done = true
	case err != nil:
		r.err = spoolError(err)
	default:
		r.entry.get(&b)
	}
}

func (e *huntEntry) put(b *[entrySize]byte) {
	copy(b[0:], e.key[:])
	copy(b[16:], e.hash[:])
	binary.BigEndian.PutUint64(b[32:], uint64(e.at))
	binary.BigEndian.PutUint64(b[40:], uint64(e.time))
	binary.BigEndian.PutUint32(b[48:], uint32(e.size))
	binary.BigEndian.PutUint32(b[52:], uint32(e.shape))
}

func (e *huntEntry) get(b *[entrySize]byte) {
	e.key, e.hash = rowKey(b[0:16]), [16]byte(b[16:32])
	e.at, e.time = int64(binary.BigEndian.Uint64(b[32:])), int64(binary.BigEndian.Uint64(b[40:]))
	e.size, e.shape = int32(binary.BigEndian.Uint32(b[48:])), int32(binary.BigEndian.Uint32(b[52:]))
}
