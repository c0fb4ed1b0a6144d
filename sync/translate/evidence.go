package translate

import (
	"slices"
	"strings"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// evidenceKind is one type of evidence: what it is called in evidence_type, and
// the shape of what is served.
type evidenceKind struct {
	name  string
	shape shape[store.Evidence]
}

// evidenceSource is an array of an alert whose elements are evidence, and how
// the type of an element is told.
type evidenceSource struct {
	list string
	kind func(scope, defender.Object) evidenceKind
}

// lists are the names of the arrays that hold evidence.
func (s alertSource) lists() []string {
	names := make([]string, len(s.evidence))
	for i, e := range s.evidence {
		names[i] = e.list
	}
	return names
}

// evidence makes rows of the alert's evidence and returns their part of the
// alert's content hash, which does not depend on their order.
func (t *translator) evidence(x scope, row *store.Alert, sources []evidenceSource, o defender.Object) []byte {
	t.hash.begin()
	for _, source := range sources {
		served, _, err := o.Array(source.list)
		if err != nil {
			x.misfit(source.list, err)
		}
		row.Evidence = slices.Grow(row.Evidence, len(served))
		for _, v := range served {
			e := store.Evidence{TenantID: t.tenantID, AlertID: row.AlertID, EvidenceNo: int32(len(row.Evidence) + 1)}
			t.oneEvidence(source, v, &e)
			row.Evidence = append(row.Evidence, e)
			t.hash.add(e.EvidenceType, e.Raw)
		}
	}
	return t.hash.set()
}

// oneEvidence fills the row of one piece of evidence. Whatever it is, it is kept.
func (t *translator) oneEvidence(source evidenceSource, served jsontext.Value, row *store.Evidence) {
	x := scope{t: t, object: "evidence", path: source.list}
	row.EvidenceType, row.Raw = untypedEvidence, served
	o, err := defender.ParseObject(served)
	if err != nil {
		x.misfit("", err)
		return
	}
	kind := source.kind(x, o)
	row.EvidenceType = kind.name
	fillRow(x, kind.shape, row, o, nil)
}

// untypedEvidence is the evidence_type of what does not say what it is.
const untypedEvidence = "unknown"

// graphEvidenceKind tells the type by @odata.type. One that is not known still
// has the properties that all evidence has.
func graphEvidenceKind(x scope, o defender.Object) evidenceKind {
	served, _, err := o.Text("@odata.type")
	if err != nil {
		x.misfit("@odata.type", err)
	}
	name := served[strings.LastIndexByte(served, '.')+1:]
	if kind, ok := graphEvidence[name]; ok {
		return kind
	}
	return evidenceKind{x.unknownEvidence("@odata.type", served, strings.TrimSuffix(name, "Evidence")), anyEvidence}
}

// olderDeviceKind is for the devices of an alert, which are in a list of their own.
func olderDeviceKind(scope, defender.Object) evidenceKind {
	return evidenceKind{"device", olderDevice}
}

// olderEntityKind tells the type by entityType. All entities have one shape.
func olderEntityKind(x scope, o defender.Object) evidenceKind {
	served, _, err := o.Text("entityType")
	if err != nil {
		x.misfit("entityType", err)
	}
	if name, ok := olderEntities[foldSpelling(served)]; ok {
		return evidenceKind{name, olderEntity}
	}
	if foldSpelling(served) == "registry" {
		return evidenceKind{registryKind(o), olderEntity}
	}
	if name := store.SnakeCase(served); evidenceNames[name] {
		return evidenceKind{name, olderEntity}
	}
	return evidenceKind{x.unknownEvidence("entityType", served, served), olderEntity}
}

// registryKind tells a registry value from a key, which are one type here and
// two on Graph.
func registryKind(o defender.Object) string {
	for _, name := range []string{"registryValue", "registryValueName"} {
		if v, ok := o.Get(name); ok && v.Kind() != jsontext.KindNull {
			return "registry_value"
		}
	}
	return "registry_key"
}

// unknownEvidence reports a type that is not known and names it by the rule
// that named the others.
func (x scope) unknownEvidence(property, served, name string) string {
	x.change(property, unknownEvidenceType, served)
	if name = store.SnakeCase(briefly(name)); name == "" {
		return untypedEvidence
	}
	return name
}
