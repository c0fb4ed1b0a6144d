package sync

import (
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
	"redirectIncidentId": integer(func(r *store.Incident) **int64 { return &r.RedirectIncidentID }),
	"displayName":        text(func(r *store.Incident) **string { return &r.DisplayName }),
	"description":        text(func(r *store.Incident) **string { return &r.Description }),
	"summary":            text(func(r *store.Incident) **string { return &r.Summary }),
	"status":             member(enumIncidentStatus, func(r *store.Incident) **string { return &r.Status }),
	"severity":           member(enumSeverity, func(r *store.Incident) **string { return &r.Severity }),
	"classification":     member(enumClassification, func(r *store.Incident) **string { return &r.Classification }),
	"determination":      member(enumDetermination, func(r *store.Incident) **string { return &r.Determination }),
	"assignedTo":         text(func(r *store.Incident) **string { return &r.AssignedTo }),
	"customTags":         texts(func(r *store.Incident) *[]string { return &r.CustomTags }),
	"tags":               textsElse(func(r *store.Incident) *[]string { return &r.CustomTags }),
	"systemTags":         texts(func(r *store.Incident) *[]string { return &r.SystemTags }),
	"comments":           incidentComments,
	"createdDateTime":    instant(func(r *store.Incident) **time.Time { return &r.CreatedDateTime }),
	"lastUpdateDateTime": value(defender.Object.Time, setIncidentUpdate),
	"lastModifiedBy":     text(func(r *store.Incident) **string { return &r.LastModifiedBy }),
	"tenantId":           text(func(r *store.Incident) **string { return &r.TenantID2 }),
	"resolvingComment":   text(func(r *store.Incident) **string { return &r.ResolvingComment }),
	"priorityScore":      integer32(func(r *store.Incident) **int32 { return &r.PriorityScore }),
	"incidentWebUrl":     text(func(r *store.Incident) **string { return &r.IncidentWebURL }),
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
	o, err := defender.ParseObject(served)
	if err != nil {
		t.out.Times = append(t.out.Times, time.Time{})
		t.quarantine(kindIncident, "", served, err)
		return
	}
	d := dialectOf(expected, o, "id", "incidentId")
	source := incidentSources[d]
	x := scope{t: t, object: "incident"}
	row := store.Incident{TenantID: t.tenantID, SyncedAt: t.at, Served: served}
	id, identified, err := incidentID(o, source.id)
	row.IncidentID = id
	fill(x, source.shape, &row, o, reportNew)
	t.out.Times = append(t.out.Times, row.LastUpdateDateTime)
	if err == nil {
		err = t.finishIncident(x, source, &row, o)
	}
	if err != nil {
		t.quarantine(kindIncident, rawID(o, source.id), served, err)
	} else {
		t.out.Incidents = append(t.out.Incidents, row)
	}
	from := parent{updated: row.LastUpdateDateTime}
	if identified {
		from.incidentID = &id
	}
	t.inlineAlerts(x, d, from, o)
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
		if row.CreatedDateTime == nil {
			return fmt.Errorf("the incident has no usable %s and no time of creation", source.updated)
		}
		x.untimed(source.updated, o)
		row.LastUpdateDateTime = *row.CreatedDateTime
	}
	var err error
	if row.Raw, err = store.CleanJSON(without(o, "alerts")); err != nil {
		return err
	}
	row.ContentHash = t.hash.sum(row.Raw)
	return nil
}

// inlineAlerts makes rows of the alerts that came inside an incident.
func (t *translator) inlineAlerts(x scope, d defender.Dialect, from parent, o defender.Object) {
	alerts, _, err := o.Array("alerts")
	if err != nil {
		x.misfit("alerts", err)
	}
	for _, served := range alerts {
		t.alert(d, served, from)
	}
	if _, more, _ := o.Text("alerts@odata.nextLink"); more && from.incidentID != nil {
		t.out.Partial = append(t.out.Partial, incidentKey(*from.incidentID))
	}
}

// untimed reports that a record does not say when it was last updated. A value
// of another kind has been reported by its setter.
func (x scope) untimed(name string, o defender.Object) {
	if v, _ := o.Get(name); v.Kind() == jsontext.KindNull || len(v) == 0 {
		x.change(name, typeChanged, "expected time, got nothing")
	}
}

// rawID is the id of a record that can't be stored, as far as it has one.
func rawID(o defender.Object, name string) string {
	id, _, _ := textOrDigits(o, name)
	return brief(id)
}

var commentsDocument = document(defender.Object.Array, func(r *store.Incident) *[]byte { return &r.Comments })

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
		row.CommentRows = append(row.CommentRows, comment(inner, row, int32(i+1), v))
	}
}

// commentShape takes the names of both APIs: Graph's own documentation uses both.
var commentShape = shape[store.Comment]{
	"comment":              text(func(r *store.Comment) **string { return &r.Comment }),
	"createdByDisplayName": text(func(r *store.Comment) **string { return &r.CreatedByDisplayName }),
	"createdBy":            textElse(func(r *store.Comment) **string { return &r.CreatedByDisplayName }),
	"createdDateTime":      instant(func(r *store.Comment) **time.Time { return &r.CreatedDateTime }),
	"createdTime":          instant(func(r *store.Comment) **time.Time { return &r.CreatedDateTime }),
}

func comment(x scope, of *store.Incident, no int32, served jsontext.Value) store.Comment {
	row := store.Comment{TenantID: of.TenantID, IncidentID: of.IncidentID, CommentNo: no}
	o, err := defender.ParseObject(served)
	if err != nil {
		x.misfit("", err)
		return row
	}
	fill(x, commentShape, &row, o, nil)
	return row
}
