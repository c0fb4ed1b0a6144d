package store

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"slices"
)

// settled yields the rows of the result as they are stored, by key and no key
// twice. Entries with the same identity become what the spec says: one row, or one
// for each that was served.
func (r *HuntRows) settled(sorted iter.Seq2[huntEntry, error]) iter.Seq2[huntEntry, error] {
	return func(yield func(huntEntry, error) bool) {
		var group []huntEntry
		flush := func() bool {
			for _, e := range r.settle(group) {
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
func (r *HuntRows) settle(group []huntEntry) []huntEntry {
	if len(group) < 2 {
		return group
	}
	out := make([]huntEntry, 0, len(group))
	for len(group) > 0 {
		n := 1
		for n < len(group) && group[n].key == group[0].key {
			n++
		}
		switch loose := r.shapes[group[0].shape].loose; {
		case r.spec.KeyOnly && !loose:
			out = append(out, latest(group[:n]))
		default:
			out = append(out, apart(group[:n], r.spec.Occurrences || loose)...)
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
// were served in. A key says nothing of the contents around its own, but for the
// plain one: where a lesser content is seen late it takes that, and the rows
// stored under all other keys are still what belongs there.
func apart(same []huntEntry, occurrences bool) []huntEntry {
	var out []huntEntry
	plain, occurrence := same[0], uint64(0)
	for i, e := range same {
		if i > 0 && e.hash == same[i-1].hash {
			occurrence++
		} else {
			occurrence = 1
		}
		switch {
		case occurrence > 1 && !occurrences:
			continue
		case occurrence > 1 || e.hash != plain.hash:
			e.key = e.key.derive(e.hash, occurrence)
		}
		out = append(out, e)
	}
	return out
}

// derive returns the key of a row whose identity is k's, and its content, and a
// number among those with both.
func (k rowKey) derive(content [16]byte, occurrence uint64) rowKey {
	var more [40]byte
	copy(more[:16], k[:])
	copy(more[16:32], content[:])
	binary.BigEndian.PutUint64(more[32:], occurrence)
	sum := sha256.Sum256(more[:])
	derived := rowKey(sum[:16])
	copy(derived[:6], k[:6])
	return derived
}
