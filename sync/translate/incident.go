package translate

import (
	"bytes"
	"fmt"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// graphIncident is the incident resource of Microsoft Graph. Its documentation
// also shows tags for customTags.
var graphIncident = shape[store.Incident]{
	"@odata.type":        nil,
	"id":                 nil, // read first: without it there is no row
	"alerts":             nil, // rows of their own
	"redirectIncidentId": setInteger(func(r *store.Incident) **int64 { return &r.RedirectIncidentID }),
	"displayName":        setText(func(r *store.Incident) **string { return &r.DisplayName }),
	"description":        setText(func(r *store.Incident) **string { return &r.Description }),
	"summary":            setText(func(r *store.Incident) **string { return &r.Summary }),
	"status":             setMember(enumIncidentStatus, func(r *store.Incident) **string { return &r.Status }),
	"severity":           setMember(enumSeverity, func(r *store.Incident) **string { return &r.Severity }),
	"classification":     setMember(enumClassification, func(r *store.Incident) **string { return &r.Classification }),
	"determination":      setMember(enumDetermination, func(r *store.Incident) **string { return &r.Determination }),
	"assignedTo":         setText(func(r *store.Incident) **string { return &r.AssignedTo }),
	"customTags":         setTexts(func(r *store.Incident) *[]string { return &r.CustomTags }),
	"tags":               setTextsElse(func(r *store.Incident) *[]string { return &r.CustomTags }),
	"systemTags":         setTexts(func(r *store.Incident) *[]string { return &r.SystemTags }),
	"comments":           incidentComments,
	"createdDateTime":    setInstant(func(r *store.Incident) **time.Time { return &r.CreatedDateTime }),
	"lastUpdateDateTime": setValue(defender.Object.Time, setIncidentUpdate),
	"lastModifiedBy":     setText(func(r *store.Incident) **string { return &r.LastModifiedBy }),
	"tenantId":           setText(func(r *store.Incident) **string { return &r.TenantID2 }),
	"resolvingComment":   setText(func(r *store.Incident) **string { return &r.ResolvingComment }),
	"priorityScore":      setInteger32(func(r *store.Incident) **int32 { return &r.PriorityScore }),
	"incidentWebUrl":     setText(func(r *store.Incident) **string { return &r.IncidentWebURL }),
}

// olderIncident is the incident of api.security.microsoft.com.
var olderIncident = shape[store.Incident]{
	"incidentId":         nil,
	"alerts":             nil,
	"redirectIncidentId": graphIncident["redirectIncidentId"],
	"incidentName":       graphIncident["displayName"],
	"incidentUri":        graphIncident["incidentWebUrl"],
	"createdTime":        graphIncident["createdDateTime"],
	"lastUpdateTime":     graphIncident["lastUpdateDateTime"],
	"assignedTo":         graphIncident["assignedTo"],
	"classification":     graphIncident["classification"],
	"determination":      graphIncident["determination"],
	"status":             graphIncident["status"],
	"severity":           graphIncident["severity"],
	"tags":               graphIncident["customTags"],
	"comments":           graphIncident["comments"],
}

func setIncidentUpdate(r *store.Incident, at time.Time) {
	r.LastUpdateDateTime = defender.TruncateMicro(at)
}

// incidentSource is what one API calls the properties that decide whether an
// incident is a row, and the shape of the rest.
type incidentSource struct {
	id, updated string
	shape       shape[store.Incident]
}

var incidentSources = map[defender.Dialect]incidentSource{
	defender.Graph: {"id", "lastUpdateDateTime", graphIncident},
	defender.Older: {"incidentId", "lastUpdateTime", olderIncident},
}

// dialectOf is the dialect that o is in. What the caller expects decides only
// where the ids leave it open.
func dialectOf(expected defender.Dialect, o defender.Object, graphID, olderID string) defender.Dialect {
	switch graph, older := o.Has(graphID), o.Has(olderID); {
	case graph && !older:
		return defender.Graph
	case older && !graph:
		return defender.Older
	}
	return expected
}

// incident makes one served incident a row, or quarantines it, and notes its
// time. Its alerts are taken either way.
func (t *translator) incident(expected defender.Dialect, served jsontext.Value) {
	clean, o, err := parseRecord(served)
	if err != nil {
		t.out.Times = append(t.out.Times, time.Time{})
		t.quarantine(KindIncident, "", served, err)
		return
	}
	d := dialectOf(expected, o, "id", "incidentId")
	source := incidentSources[d]
	x := scope{t: t, object: "incident"}
	row := store.Incident{TenantID: t.tenantID, SyncedAt: t.at, Served: served}
	id, identified, err := incidentID(o, source.id)
	row.IncidentID = id
	fillRow(x, source.shape, &row, o, reportNew)
	t.out.Times = append(t.out.Times, row.LastUpdateDateTime)
	if err == nil {
		err = t.finishIncident(x, source, &row, o)
	}
	if err != nil {
		t.quarantine(KindIncident, rawID(o, source.id), served, err)
	} else {
		t.out.Incidents = append(t.out.Incidents, row)
	}
	from := alertParent{updated: row.LastUpdateDateTime}
	if identified {
		from.incidentID = &id
	}
	t.inlineAlerts(x, d, from, o, servedAlerts(served, clean))
}

func incidentID(o defender.Object, name string) (id int64, ok bool, err error) {
	id, ok, err = o.Int64(name)
	if err == nil && !ok {
		err = fmt.Errorf("the incident has no %s", name)
	}
	return id, ok, err
}

// finishIncident settles what needs the whole incident. Its error is why the
// incident can't be a row.
func (t *translator) finishIncident(x scope, source incidentSource, row *store.Incident, o defender.Object) error {
	if row.LastUpdateDateTime.IsZero() {
		if !usable(row.CreatedDateTime) {
			return fmt.Errorf("the incident has no usable %s and no time of creation", source.updated)
		}
		x.untimed(source.updated, o)
		row.LastUpdateDateTime = *row.CreatedDateTime
	}
	row.Raw = documentWithout(o, "alerts")
	row.ContentHash = t.hash.sum(row.Raw)
	return nil
}

// inlineAlerts makes rows of the alerts that came inside an incident. served
// are the same alerts before they were cleaned; nil when there was no need to.
func (t *translator) inlineAlerts(x scope, d defender.Dialect, from alertParent, o defender.Object, served []jsontext.Value) {
	alerts, _, err := o.Array("alerts")
	if err != nil {
		x.misfit("alerts", err)
	}
	if len(served) != len(alerts) {
		served = alerts
	}
	for i, clean := range alerts {
		t.alert(d, served[i], clean, from)
	}
	if _, more, _ := o.Text("alerts@odata.nextLink"); more && from.incidentID != nil {
		t.out.Partial = append(t.out.Partial, IncidentKey(*from.incidentID))
	}
}

// servedAlerts are an incident's alerts as served, when cleaning changed it.
func servedAlerts(served, clean jsontext.Value) []jsontext.Value {
	if bytes.Equal(served, clean) {
		return nil
	}
	o, err := defender.ParseObject(served)
	if err != nil {
		return nil
	}
	alerts, _, _ := o.Array("alerts")
	return alerts
}

// untimed reports that a record does not say when it was last updated. A value
// of another kind has been reported by its setter.
func (x scope) untimed(name string, o defender.Object) {
	if v, _ := o.Get(name); v.Kind() == jsontext.KindNull || len(v) == 0 {
		x.change(name, typeChanged, "expected time, got nothing")
	}
}

// usable says whether a time can order a record. The services' own zero time
// (0001-01-01T00:00:00Z) stands for none.
func usable(at *time.Time) bool { return at != nil && !at.IsZero() }

// rawID is the id of a record that can't be stored, as far as it has one.
func rawID(o defender.Object, name string) string {
	id, _, _ := textOrDigits(o, name)
	return briefly(id)
}

var commentsDocument = setDocument(defender.Object.Array, func(r *store.Incident) *[]byte { return &r.Comments })

// incidentComments keeps the comments as a document and makes rows of them.
func incidentComments(x scope, row *store.Incident, o defender.Object, name string) {
	served, ok, err := o.Array(name)
	if err != nil {
		x.misfit(name, err)
	}
	if err != nil || !ok {
		return
	}
	commentsDocument(x, row, o, name)
	inner := scope{x.t, x.object, x.at(name)}
	for i, v := range served {
		row.CommentRows = append(row.CommentRows, commentRow(inner, row, int32(i+1), v))
	}
}

// commentShape takes the names of both APIs: Graph's own documentation uses both.
var commentShape = shape[store.Comment]{
	"comment":              setText(func(r *store.Comment) **string { return &r.Comment }),
	"createdByDisplayName": setText(func(r *store.Comment) **string { return &r.CreatedByDisplayName }),
	"createdBy":            setTextElse(func(r *store.Comment) **string { return &r.CreatedByDisplayName }),
	"createdDateTime":      setInstant(func(r *store.Comment) **time.Time { return &r.CreatedDateTime }),
	"createdTime":          setInstant(func(r *store.Comment) **time.Time { return &r.CreatedDateTime }),
}

func commentRow(x scope, of *store.Incident, no int32, served jsontext.Value) store.Comment {
	row := store.Comment{TenantID: of.TenantID, IncidentID: of.IncidentID, CommentNo: no}
	o, err := defender.ParseObject(served)
	if err != nil {
		x.misfit("", err)
		return row
	}
	fillRow(x, commentShape, &row, o, nil)
	return row
}
