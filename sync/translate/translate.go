// Package translate makes rows of the records that Microsoft's APIs serve, in
// either dialect: pure functions between the wire shapes of package defender and the
// row types of package store. What does not fit a column stays in raw and is
// reported as a change of schema; a record that can be no row is set aside.
package translate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// Kinds of records that are set aside, as sync.quarantine has them.
const (
	KindIncident = "incident"
	KindAlert    = "alert"
)

// IncidentKey is an incident's id as quarantine and the API write it.
func IncidentKey(id int64) string { return strconv.FormatInt(id, 10) }

// Rows is what a page of served records becomes. Every record is a row
// or in quarantine: nothing in a record makes its translation fail.
type Rows struct {
	Incidents  []store.Incident
	Alerts     []store.Alert
	Quarantine []store.Quarantined
	Changes    []store.SchemaChange // each once; at most maxChanges

	// Times has one element for each record handed in: when the record says it
	// was last updated, in microseconds; zero when it does not say.
	Times []time.Time

	// Partial lists incidents that came with some of their alerts and a link to
	// the others (alerts@odata.nextLink).
	Partial []string
}

// maxChanges bounds the schema changes of one page. A tenant that serves
// hundreds at once serves data as names, and the first of them tell it.
const maxChanges = 200

// Incidents makes rows of a page of incidents and of the alerts that
// came inside them. A record in the other dialect's shape, as a replay may
// hold after the tenant has moved to the other API, is read as what it is.
func Incidents(dialect defender.Dialect, tenantID string, records []jsontext.Value, at time.Time) Rows {
	t := newTranslator(tenantID, at)
	t.out.Incidents = make([]store.Incident, 0, len(records))
	for _, record := range records {
		t.incident(dialect, record)
	}
	return t.out
}

// Alerts makes rows of a page of alerts: of alerts_v2, of one
// incident's alerts, or replayed in either dialect's shape.
func Alerts(tenantID string, records []jsontext.Value, at time.Time) Rows {
	t := newTranslator(tenantID, at)
	for _, record := range records {
		t.out.Times = append(t.out.Times, t.servedAlert(record))
	}
	return t.out
}

// A translator turns the records of one page into rows.
type translator struct {
	tenantID string
	at       time.Time
	out      Rows
	seen     map[store.SchemaChange]bool
	hash     contentHasher
}

func newTranslator(tenantID string, at time.Time) *translator {
	return &translator{tenantID: tenantID, at: at, seen: make(map[store.SchemaChange]bool)}
}

// quarantine sets a record aside. A record without an id goes under a digest
// of its bytes, so that two of them are two and one served twice is one.
func (t *translator) quarantine(kind, key string, served []byte, reason error) {
	if key == "" {
		sum := sha256.Sum256(served)
		key = "sha256:" + hex.EncodeToString(sum[:8])
	}
	t.out.Quarantine = append(t.out.Quarantine,
		store.Quarantined{Kind: kind, Key: key, Reason: reason.Error(), Payload: served})
}

// Values of store.SchemaChange.Change.
const (
	newProperty         = "new_property"
	typeChanged         = "type_changed"
	unknownEnumMember   = "unknown_enum_member"
	unknownEvidenceType = "unknown_evidence_type"
)

// change reports something that the schema did not expect, once.
func (t *translator) change(c store.SchemaChange) {
	c.Property, c.Detail = briefly(c.Property), briefly(c.Detail)
	if t.seen[c] || len(t.out.Changes) == maxChanges {
		return
	}
	t.seen[c] = true
	t.out.Changes = append(t.out.Changes, c)
}

// parseRecord reads one record of a page. The object is of its clean form, and
// so is everything in it: nothing below this cleans a value again.
func parseRecord(served jsontext.Value) (clean jsontext.Value, o defender.Object, err error) {
	if clean, err = store.CleanJSON(served); err != nil {
		return nil, o, err
	}
	o, err = defender.ParseObject(clean)
	return clean, o, err
}

// briefly cuts a text of the source to what a report about it needs.
func briefly(s string) string {
	const limit = 200
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// A scope is where in a document a value stands.
type scope struct {
	t      *translator
	object string // incident, alert or evidence
	path   string // of the object that holds the value; "" at the top
}

func (x scope) at(name string) string {
	if x.path == "" || name == "" {
		return x.path + name
	}
	return x.path + "." + name
}

func (x scope) change(name, change, detail string) {
	x.t.change(store.SchemaChange{Object: x.object, Property: x.at(name), Change: change, Detail: detail})
}

// misfit reports a value that does not fit its column and stays in raw.
func (x scope) misfit(name string, err error) {
	detail := "unreadable"
	var kind *defender.TypeError
	if errors.As(err, &kind) {
		detail = fmt.Sprintf("expected %s, got %s", kind.Want, kind.Got)
	}
	x.change(name, typeChanged, detail)
}
