package store

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"slices"
)

// rows yields the rows of the result as they are stored, by key and no key
// twice. Entries with the same identity become what spec says: one row, or one
// for each that was served.
func (s *HuntSpec) rows(sorted iter.Seq2[huntEntry, error]) iter.Seq2[huntEntry, error] {
	return func(yield func(huntEntry, error) bool) {
		var group []huntEntry
		flush := func() bool {
			for _, e := range s.settle(group) {
				if !yield(e, nil) {
					return false
				}
			}
			group = group[:0]
			return true
		}
		for e, err := range sorted {
			if err != nil {
				yield(huntEntry{}, err)
				return
			}
			if len(group) > 0 && group[0].key.prefix() != e.key.prefix() && !flush() {
				return
			}
			group = append(group, e)
		}
		flush()
	}
}

// settle gives the entries of one prefix, sorted, the keys they are stored under.
func (s *HuntSpec) settle(group []huntEntry) []huntEntry {
	if len(group) < 2 {
		return group
	}
	out := make([]huntEntry, 0, len(group))
	for len(group) > 0 {
		n := 1
		for n < len(group) && group[n].key == group[0].key {
			n++
		}
		if s.KeyOnly {
			out = append(out, latest(group[:n]))
		} else {
			out = append(out, s.apart(group[:n])...)
		}
		group = group[n:]
	}
	slices.SortFunc(out, compareEntries)
	return out
}

// latest returns the newest of entries, and of equals the one read last.
func latest(same []huntEntry) huntEntry {
	best := same[0]
	for _, e := range same[1:] {
		if e.time > best.time || e.time == best.time && e.at > best.at {
			best = e
		}
	}
	return best
}

// apart gives entries of one identity keys of their own, as long as there is a
// difference to keep. The least content has the plain key, whatever order they
// were served in.
func (s *HuntSpec) apart(same []huntEntry) []huntEntry {
	var out []huntEntry
	occurrence := 0
	for i, e := range same {
		if i > 0 && e.hash == same[i-1].hash {
			occurrence++
		} else {
			occurrence = 1
		}
		if occurrence > 1 && !s.Occurrences {
			continue
		}
		if e.hash != same[0].hash {
			e.key = e.key.derive('c', e.hash[:])
		}
		if occurrence > 1 {
			e.key = e.key.derive('n', binary.BigEndian.AppendUint64(nil, uint64(occurrence)))
		}
		out = append(out, e)
	}
	return out
}

// derive returns the key of a row whose identity is k's and something more.
func (k rowKey) derive(what byte, more []byte) rowKey {
	h := sha256.New()
	h.Write(k[:])
	h.Write([]byte{what})
	h.Write(more)
	derived := rowKey(h.Sum(nil)[:16])
	copy(derived[:6], k[:6])
	return derived
}
