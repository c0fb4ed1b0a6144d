package translate

import (
	"fmt"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// graphAlert is the alert resource of Microsoft Graph.
var graphAlert = shape[store.Alert]{
	"@odata.type":           nil,
	"id":                    nil, // read first: without it there is no row
	"evidence":              nil, // rows of its own
	"incidentId":            setInteger(func(r *store.Alert) **int64 { return &r.IncidentID }),
	"providerAlertId":       setText(func(r *store.Alert) **string { return &r.ProviderAlertID }),
	"title":                 setText(func(r *store.Alert) **string { return &r.Title }),
	"description":           setText(func(r *store.Alert) **string { return &r.Description }),
	"recommendedActions":    setText(func(r *store.Alert) **string { return &r.RecommendedActions }),
	"category":              setText(func(r *store.Alert) **string { return &r.Category }),
	"categories":            setTexts(func(r *store.Alert) *[]string { return &r.Categories }),
	"status":                setMember(enumAlertStatus, func(r *store.Alert) **string { return &r.Status }),
	"severity":              setMember(enumSeverity, func(r *store.Alert) **string { return &r.Severity }),
	"classification":        setMember(enumClassification, func(r *store.Alert) **string { return &r.Classification }),
	"determination":         setMember(enumDetermination, func(r *store.Alert) **string { return &r.Determination }),
	"investigationState":    setMember(enumInvestigationState, func(r *store.Alert) **string { return &r.InvestigationState }),
	"serviceSource":         setMember(enumServiceSource, func(r *store.Alert) **string { return &r.ServiceSource }),
	"detectionSource":       setMember(enumDetectionSource, func(r *store.Alert) **string { return &r.DetectionSource }),
	"detectorId":            setText(func(r *store.Alert) **string { return &r.DetectorID }),
	"productName":           setText(func(r *store.Alert) **string { return &r.ProductName }),
	"alertPolicyId":         setText(func(r *store.Alert) **string { return &r.AlertPolicyID }),
	"tenantId":              setText(func(r *store.Alert) **string { return &r.TenantID2 }),
	"assignedTo":            setText(func(r *store.Alert) **string { return &r.AssignedTo }),
	"actorDisplayName":      setText(func(r *store.Alert) **string { return &r.ActorDisplayName }),
	"threatDisplayName":     setText(func(r *store.Alert) **string { return &r.ThreatDisplayName }),
	"threatFamilyName":      setText(func(r *store.Alert) **string { return &r.ThreatFamilyName }),
	"mitreTechniques":       setTexts(func(r *store.Alert) *[]string { return &r.MitreTechniques }),
	"systemTags":            setTexts(func(r *store.Alert) *[]string { return &r.SystemTags }),
	"comments":              setDocument(defender.Object.Array, func(r *store.Alert) *[]byte { return &r.Comments }),
	"additionalData":        setDocument(defender.Object.Object, func(r *store.Alert) *[]byte { return &r.AdditionalData }),
	"customDetails":         setDocument(defender.Object.Object, func(r *store.Alert) *[]byte { return &r.CustomDetails }),
	"createdDateTime":       setInstant(func(r *store.Alert) **time.Time { return &r.CreatedDateTime }),
	"lastUpdateDateTime":    setValue(defender.Object.Time, setAlertUpdate),
	"resolvedDateTime":      setInstant(func(r *store.Alert) **time.Time { return &r.ResolvedDateTime }),
	"firstActivityDateTime": setInstant(func(r *store.Alert) **time.Time { return &r.FirstActivityDateTime }),
	"lastActivityDateTime":  setInstant(func(r *store.Alert) **time.Time { return &r.LastActivityDateTime }),
	"alertWebUrl":           setText(func(r *store.Alert) **string { return &r.AlertWebURL }),
	"incidentWebUrl":        setText(func(r *store.Alert) **string { return &r.IncidentWebURL }),
}

// olderAlert is an alert of api.security.microsoft.com.
var olderAlert = shape[store.Alert]{
	"alertId":            nil,
	"devices":            nil, // rows of alert_evidence
	"entities":           nil, // rows of alert_evidence
	"investigationId":    nil, // Graph has no such property
	"incidentId":         graphAlert["incidentId"],
	"providerAlertId":    graphAlert["providerAlertId"],
	"title":              graphAlert["title"],
	"description":        graphAlert["description"],
	"category":           graphAlert["category"],
	"status":             graphAlert["status"],
	"severity":           graphAlert["severity"],
	"classification":     graphAlert["classification"],
	"determination":      graphAlert["determination"],
	"investigationState": graphAlert["investigationState"],
	"serviceSource":      graphAlert["serviceSource"],
	"detectionSource":    graphAlert["detectionSource"],
	"detectorId":         graphAlert["detectorId"],
	"assignedTo":         graphAlert["assignedTo"],
	"actorName":          graphAlert["actorDisplayName"],
	"threatFamilyName":   graphAlert["threatFamilyName"],
	"mitreTechniques":    graphAlert["mitreTechniques"],
	"creationTime":       graphAlert["createdDateTime"],
	"lastUpdatedTime":    graphAlert["lastUpdateDateTime"],
	"resolvedTime":       graphAlert["resolvedDateTime"],
	"firstActivity":      graphAlert["firstActivityDateTime"],
	"lastActivity":       graphAlert["lastActivityDateTime"],
}

func setAlertUpdate(r *store.Alert, at time.Time) {
	r.LastUpdateDateTime = defender.TruncateMicro(at)
}

// alertSource is what one API calls the properties that decide whether an alert
// is a row, the shape of the rest, and where its evidence is.
type alertSource struct {
	id, updated string
	shape       shape[store.Alert]
	evidence    []evidenceSource
}

var alertSources = map[defender.Dialect]alertSource{
	defender.Graph: {"id", "lastUpdateDateTime", graphAlert, []evidenceSource{{"evidence", graphEvidenceKind}}},
	defender.Older: {"alertId", "lastUpdatedTime", olderAlert,
		[]evidenceSource{{"devices", olderDeviceKind}, {"entities", olderEntityKind}}},
}

// alertParent is the incident that an alert came in; the zero value is none.
type alertParent struct {
	incidentID *int64
	updated    time.Time
}

// servedAlert is alert for a record of a page.
func (t *translator) servedAlert(served jsontext.Value) time.Time {
	clean, err := store.CleanJSON(served)
	if err != nil {
		t.quarantine(KindAlert, "", served, err)
		return time.Time{}
	}
	return t.alert(defender.Graph, served, clean, alertParent{})
}

// alert makes one alert, served so and clean now, a row, or quarantines it. It
// returns when the alert says it was last updated, zero when it does not say.
func (t *translator) alert(expected defender.Dialect, served, clean jsontext.Value, from alertParent) time.Time {
	o, err := defender.ParseObject(clean)
	if err != nil {
		t.quarantine(KindAlert, "", served, err)
		return time.Time{}
	}
	source := alertSources[dialectOf(expected, o, "id", "alertId")]
	x := scope{t: t, object: "alert"}
	row := store.Alert{TenantID: t.tenantID, SyncedAt: t.at, Served: served}
	fillRow(x, source.shape, &row, o, reportNew)
	updated := row.LastUpdateDateTime
	if err := t.finishAlert(x, source, &row, o, from); err != nil {
		t.quarantine(KindAlert, rawID(o, source.id), served, err)
	} else {
		t.out.Alerts = append(t.out.Alerts, row)
	}
	return updated
}

// finishAlert settles what needs the whole alert. Its error is why the alert
// can't be a row.
func (t *translator) finishAlert(x scope, source alertSource, row *store.Alert, o defender.Object, from alertParent) error {
	id, _, err := textOrDigits(o, source.id)
	if err != nil {
		return err
	}
	if id == "" {
		return fmt.Errorf("the alert has no %s", source.id)
	}
	row.AlertID = id
	if row.LastUpdateDateTime, err = x.updated(row, source.updated, o, from); err != nil {
		return err
	}
	var adopted string // an incident that the alert's own bytes do not name
	if row.IncidentID == nil && from.incidentID != nil {
		row.IncidentID, adopted = from.incidentID, IncidentKey(*from.incidentID)
	}
	row.Raw = documentWithout(o, source.lists()...)
	row.ContentHash = t.hash.sum(row.Raw, []byte(adopted), t.evidence(x, row, source.evidence, o))
	return nil
}

// updated is when the alert was last updated, by the best that is known of it.
func (x scope) updated(row *store.Alert, name string, o defender.Object, from alertParent) (time.Time, error) {
	if !row.LastUpdateDateTime.IsZero() {
		return row.LastUpdateDateTime, nil
	}
	x.untimed(name, o)
	switch {
	case usable(row.CreatedDateTime):
		return *row.CreatedDateTime, nil
	case usable(&from.updated):
		return from.updated, nil
	}
	return time.Time{}, fmt.Errorf("the alert has no usable %s, no time of creation and came in no incident", name)
}
