package translate

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// translationVersion is part of every content hash. Raise it when the same
// document would become different rows: what is stored is then written anew
// the next time it is served.
const translationVersion = 2

// documentWithout is o as served less the arrays of the given names, which are rows of
// their own. What stands there instead of an array stays.
func documentWithout(o defender.Object, arrays ...string) []byte {
	size := 2
	for _, name := range o.Names() {
		v, _ := o.Get(name)
		size += len(name) + len(v) + 4
	}
	doc := append(make([]byte, 0, size), '{')
	for _, name := range o.Names() {
		v, _ := o.Get(name)
		if slices.Contains(arrays, name) && v.Kind() == jsontext.KindBeginArray {
			continue
		}
		if len(doc) > 1 {
			doc = append(doc, ',')
		}
		doc, _ = jsontext.AppendQuote(doc, name) // a name that has been decoded has no invalid UTF-8
		doc = append(append(doc, ':'), v...)
	}
	return append(doc, '}')
}

// A contentHasher makes the content hashes of one page. Its memory is used
// again for each document.
type contentHasher struct {
	canonical []byte
	message   []byte
	digests   [][sha256.Size]byte
}

// sum hashes a clean document and whatever else decides what its row holds. Two
// documents have the same hash if they differ in nothing but the order of
// members, white space, escapes and annotations; numbers count by their digits.
func (h *contentHasher) sum(doc []byte, rest ...[]byte) [16]byte {
	h.message = append(h.message[:0], translationVersion)
	h.message = appendPart(h.message, h.canon(doc))
	for _, part := range rest {
		h.message = appendPart(h.message, part)
	}
	full := sha256.Sum256(h.message)
	return [16]byte(full[:16])
}

// appendPart makes it plain where a part ends.
func appendPart(message, part []byte) []byte {
	digest := sha256.Sum256(part)
	return append(message, digest[:]...)
}

// begin starts a multiset of documents; add adds one with its kind, and set
// returns bytes that are the same in whatever order they were added.
func (h *contentHasher) begin() { h.digests = h.digests[:0] }

func (h *contentHasher) add(kind string, doc []byte) {
	h.message = append(append(h.message[:0], kind...), 0)
	h.message = append(h.message, h.canon(doc)...)
	h.digests = append(h.digests, sha256.Sum256(h.message))
}

func (h *contentHasher) set() []byte {
	slices.SortFunc(h.digests, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	all := make([]byte, 0, len(h.digests)*sha256.Size)
	for _, d := range h.digests {
		all = append(all, d[:]...)
	}
	return all
}

// canon is doc in the one form that all its spellings share, without
// annotations; valid until the next call.
func (h *contentHasher) canon(doc []byte) []byte {
	canonical, err := jsontext.AppendFormat(h.canonical[:0], doc,
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.ReorderRawObjects(true))
	if err != nil {
		return doc // not JSON: it can only equal itself
	}
	h.canonical = canonical
	if annotated(canonical) {
		return unannotated(canonical)
	}
	return canonical
}

// notedType is the one annotation that says something about the record: what
// type of evidence it is.
const notedType = "@odata.type"

// annotated says whether a document may have annotations other than notedType.
func annotated(doc []byte) bool {
	mark := []byte("@odata.")
	for {
		i := bytes.Index(doc, mark)
		if i < 0 {
			return false
		}
		quoted := i > 0 && doc[i-1] == '"'
		doc = doc[i:]
		if !quoted || !bytes.HasPrefix(doc, []byte(notedType+`"`)) {
			return true
		}
		doc = doc[len(mark):]
	}
}

// unannotated copies a canonical document without its annotations.
func unannotated(doc []byte) []byte {
	lenient := []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	d := jsontext.NewDecoder(bytes.NewReader(doc), lenient...)
	var out bytes.Buffer
	e := jsontext.NewEncoder(&out, lenient...)
	for {
		tok, err := d.ReadToken()
		if err != nil {
			return bytes.TrimSuffix(out.Bytes(), []byte("\n")) // the end: doc is canonical and so without fault
		}
		kind, n := d.StackIndex(d.StackDepth())
		isName := kind == jsontext.KindBeginObject && n%2 == 1
		if isName && tok.String() != notedType && isAnnotation(tok.String()) {
			err = d.SkipValue()
		} else {
			err = e.WriteToken(tok)
		}
		if err != nil {
			return doc
		}
	}
}
