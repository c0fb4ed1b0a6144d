package defendersim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Documents is a fixed set of records that is served byte for byte, through
// the same lists as a world: for published samples. Each dialect's lists
// serve that dialect's documents only.
type Documents struct {
	incidents, alerts, older index[record]
}

// document is a record that is served as it is.
type document struct {
	raw       []byte
	key       string // "" for a record put beside a source
	at, since time.Time
	texts     map[field]string
	alerts    []record
}

func (d *document) id() string          { return d.key }
func (d *document) updated() time.Time  { return d.at }
func (d *document) created() time.Time  { return d.since }
func (d *document) text(f field) string { return d.texts[f] }

// NewDocuments takes Graph incidents, Graph alerts and older incidents, each
// a slice of JSON objects as served. It fails on one that has no id.
func NewDocuments(incidents, alerts, older [][]byte) (*Documents, error) {
	d := &Documents{}
	for _, set := range []struct {
		raws [][]byte
		into *index[record]
	}{{incidents, &d.incidents}, {alerts, &d.alerts}, {older, &d.older}} {
		var list []record
		for _, raw := range set.raws {
			doc, err := newDocument(raw)
			if err != nil {
				return nil, err
			}
			list = append(list, doc)
		}
		set.into.load(list)
	}
	return d, nil
}

// newDocument reads what the lists filter and order by, in either dialect.
func newDocument(raw []byte) (*document, error) {
	var f struct {
		ID, IncidentID                      json.RawMessage
		Status, Severity                    string
		Classification, Determination       string
		AssignedTo, ServiceSource           string
		LastUpdateDateTime, CreatedDateTime time.Time
		LastUpdateTime, CreatedTime         time.Time
		Alerts                              []json.RawMessage
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	id := strings.Trim(cmp.Or(string(f.ID), string(f.IncidentID)), `"`)
	if id == "" {
		return nil, errors.New("read document: it has no id")
	}
	d := &document{raw: raw, key: id, at: laterOf(f.LastUpdateDateTime, f.LastUpdateTime), since: laterOf(f.CreatedDateTime, f.CreatedTime),
		texts: map[field]string{status: f.Status, severity: f.Severity, classification: f.Classification,
			determination: f.Determination, assignedTo: f.AssignedTo, serviceSource: f.ServiceSource}}
	for _, a := range f.Alerts {
		d.alerts = append(d.alerts, &document{raw: a})
	}
	return d, nil
}

func (d *Documents) hold()    {}
func (d *Documents) release() {}

func (d *Documents) of(e Endpoint) *index[record] {
	switch e {
	case Alerts, AlertByID:
		return &d.alerts
	case OlderIncidents, OlderIncident:
		return &d.older
	}
	return &d.incidents
}

func (d *Documents) window(e Endpoint, from, to time.Time) []record {
	return slices.Clone(d.of(e).between(from, to))
}

func (d *Documents) find(e Endpoint, id string) record {
	for _, r := range d.of(e).list {
		if r.id() == id {
			return r
		}
	}
	return nil
}

func (d *Documents) alertsOf(r record) []record { return r.(*document).alerts }

func (d *Documents) render(r record, st style) []byte {
	doc := r.(*document)
	if st.older || st.expand || len(doc.alerts) == 0 {
		return doc.raw
	}
	return without(doc.raw, "alerts")
}

// without copies a JSON object and leaves one property out.
func without(raw []byte, property string) []byte {
	in := jsontext.NewDecoder(bytes.NewReader(raw))
	if _, err := in.ReadToken(); err != nil {
		return raw
	}
	e := &encoder{}
	e.braces(func() {
		for in.PeekKind() == '"' {
			name, err := in.ReadToken()
			if err != nil {
				return
			}
			key := name.String()
			value, err := in.ReadValue()
			if err != nil {
				return
			}
			if key != property {
				e.key(key)
				e.b = append(e.b, value...)
			}
		}
	})
	return e.b
}
