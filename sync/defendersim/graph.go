package defendersim

// graphIncident writes an incident in Graph's dialect, with its alerts when
// expand is set.
func (e *encoder) graphIncident(w *World, in *incident, expand bool) {
	e.braces(func() {
		e.text("id", itoa(in.ID))
		e.text("tenantId", e.tenant)
		e.enum("status", in.Status)
		e.text("incidentWebUrl", "https://security.microsoft.com/incident2/"+itoa(in.ID)+"/overview?tid="+e.tenant)
		if in.RedirectID == 0 {
			e.null("redirectIncidentId")
		} else {
			e.text("redirectIncidentId", itoa(in.RedirectID))
		}
		e.str("displayName", in.Name)
		e.time("createdDateTime", in.Created)
		e.time("lastUpdateDateTime", in.LastUpdate)
		e.str("assignedTo", in.AssignedTo)
		e.str("classification", in.Classification)
		e.str("determination", in.Determination)
		e.str("severity", in.Severity)
		e.strs("customTags", in.CustomTags)
		e.strs("systemTags", in.SystemTags)
		e.str("description", in.Description)
		e.str("lastModifiedBy", in.LastModifiedBy)
		e.str("resolvingComment", in.ResolvingComment)
		e.str("summary", in.Summary)
		e.int("priorityScore", int64(in.Priority))
		e.list("comments", len(in.Comments), func(i int) { e.comment(&in.Comments[i]) })
		if expand {
			e.list("alerts", len(in.alerts), func(i int) { e.graphAlert(w, in.alerts[i]) })
		}
	})
}

func (e *encoder) comment(c *Comment) {
	e.braces(func() {
		e.text("comment", c.Text)
		e.text("createdByDisplayName", c.By)
		e.time("createdDateTime", c.At)
	})
}

// graphAlert writes an alert in Graph's dialect, with its evidence.
func (e *encoder) graphAlert(w *World, a *alert) {
	evidence := a.evidence(w.estate)
	e.braces(func() {
		e.text("id", a.ID)
		e.text("providerAlertId", a.ProviderID)
		e.text("incidentId", itoa(a.IncidentID))
		e.enum("status", a.Status)
		e.str("severity", a.Severity)
		e.str("classification", a.Classification)
		e.str("determination", a.Determination)
		e.enum("serviceSource", a.ServiceSource)
		e.enum("detectionSource", a.DetectionSource)
		e.text("productName", labels[a.detection.product].name)
		e.str("detectorId", a.DetectorID)
		e.text("tenantId", e.tenant)
		e.str("title", a.Title)
		e.str("description", a.Description)
		e.text("recommendedActions", "")
		e.str("category", a.Category)
		e.strs("categories", []string{a.Category})
		e.strs("mitreTechniques", a.Techniques)
		e.str("assignedTo", a.AssignedTo)
		e.text("alertWebUrl", "https://security.microsoft.com/alerts/"+a.ID+"?tid="+e.tenant)
		e.text("incidentWebUrl", "https://security.microsoft.com/incident2/"+itoa(a.IncidentID)+"/overview?tid="+e.tenant)
		e.str("actorDisplayName", a.Actor)
		e.str("threatDisplayName", a.Threat)
		e.str("threatFamilyName", a.Family)
		e.time("createdDateTime", a.Created)
		e.time("lastUpdateDateTime", a.LastUpdate)
		e.time("resolvedDateTime", a.Resolved)
		e.time("firstActivityDateTime", a.First)
		e.time("lastActivityDateTime", a.Last)
		e.str("investigationState", a.InvestigationState)
		e.null("alertPolicyId", "additionalData")
		e.empty("systemTags", "comments")
		e.details(a)
		e.list("evidence", len(evidence), func(i int) { e.graphEvidence(&evidence[i]) })
	})
}

// details writes customDetails, which only own detection rules fill.
func (e *encoder) details(a *alert) {
	e.obj("customDetails", func() {
		if a.detection.product == customRule {
			e.str("Rule owner", "Threat hunting")
		}
	})
}
