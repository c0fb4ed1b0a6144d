package defendersim

import "strings"

// olderIncident writes an incident in the older API's dialect, alerts inline.
func (e *encoder) olderIncident(w *World, in *incident) {
	e.braces(func() {
		e.int("incidentId", in.ID)
		e.text("incidentUri", "https://security.microsoft.com/incidents/"+itoa(in.ID)+"?tid="+e.tenant)
		if in.RedirectID == 0 {
			e.null("redirectIncidentId")
		} else {
			e.int("redirectIncidentId", in.RedirectID)
		}
		e.text("incidentName", in.Name)
		e.time("createdTime", in.Created)
		e.time("lastUpdateTime", in.LastUpdate)
		e.str("assignedTo", in.AssignedTo)
		e.text("classification", pascal(in.Classification))
		e.text("determination", olderDetermination(in.Determination))
		e.text("status", pascal(in.Status))
		e.text("severity", olderSeverity(in.Severity))
		e.strs("tags", in.CustomTags)
		e.list("comments", len(in.Comments), func(i int) {
			e.braces(func() {
				e.text("comment", in.Comments[i].Text)
				e.text("createdBy", in.Comments[i].By)
				e.time("createdTime", in.Comments[i].At)
			})
		})
		e.list("alerts", len(in.alerts), func(i int) { e.olderAlert(w, in.alerts[i]) })
	})
}

func (e *encoder) olderAlert(w *World, a *alert) {
	var devices, entities []evidence
	for _, ev := range a.evidence(w.estate) {
		switch olderTypes[ev.kind] {
		case "":
		case "Device":
			devices = append(devices, ev)
		default:
			entities = append(entities, ev)
		}
	}
	e.braces(func() {
		e.text("alertId", a.ID)
		e.text("providerAlertId", a.ProviderID)
		e.int("incidentId", a.IncidentID)
		e.text("serviceSource", olderService(a.ServiceSource))
		e.time("creationTime", a.Created)
		e.time("lastUpdatedTime", a.LastUpdate)
		e.time("resolvedTime", a.Resolved)
		e.time("firstActivity", a.First)
		e.time("lastActivity", a.Last)
		e.text("title", a.Title)
		e.text("description", a.Description)
		e.text("category", a.Category)
		e.text("status", pascal(a.Status))
		e.text("severity", olderSeverity(a.Severity))
		e.null("investigationId")
		e.text("investigationState", pascal(a.InvestigationState))
		e.str("classification", pascal(a.Classification))
		e.str("determination", olderDetermination(a.Determination))
		e.text("detectionSource", olderDetection(a.DetectionSource))
		e.str("detectorId", a.DetectorID)
		e.str("assignedTo", a.AssignedTo)
		e.str("actorName", a.Actor)
		e.str("threatFamilyName", a.Family)
		e.strs("mitreTechniques", a.Techniques)
		e.list("devices", len(devices), func(i int) { e.olderDevice(&devices[i]) })
		e.list("entities", len(entities), func(i int) { e.olderEntity(&entities[i]) })
	})
}

func (e *encoder) olderDevice(ev *evidence) {
	h := ev.host
	e.braces(func() {
		e.text("mdatpDeviceId", h.id)
		e.str("aadDeviceId", h.aadID)
		e.str("deviceDnsName", h.dns)
		e.str("osPlatform", h.os)
		e.str("version", h.version)
		e.text("osProcessor", "x64")
		e.int("osBuild", h.build)
		e.text("healthStatus", "Active")
		e.str("riskScore", pascal(h.risk))
		e.str("rbacGroupName", h.group)
		e.int("rbacGroupId", h.groupID)
		e.time("firstSeen", h.firstSeen)
		e.strs("tags", h.tags)
		e.text("defenderAvStatus", pascal(pick(ev.r, []string{"updated", "updated", "notUpdated", "unknown"})))
		e.text("onboardingStatus", "Onboarded")
		e.vm(h)
		e.list("loggedOnUsers", 1, func(int) {
			e.braces(func() { e.str("accountName", ev.user.account); e.str("domainName", ntDomain) })
		})
	})
}

// entityKeys is every key of an entity, in the order that the service prints
// them. Keys that a type does not use are null.
var entityKeys = []string{"sha1", "sha256", "fileName", "filePath", "processId", "processCommandLine", "processCreationTime",
	"parentProcessId", "parentProcessCreationTime", "ipAddress", "url", "accountName", "domainName", "userSid", "aadUserId",
	"userPrincipalName", "mailboxDisplayName", "mailboxAddress", "clusterBy", "sender", "recipient", "subject", "deliveryAction",
	"securityGroupId", "securityGroupName", "registryHive", "registryKey", "registryValueType", "registryValue", "deviceId"}

func (e *encoder) olderEntity(ev *evidence) {
	texts, numbers := ev.entity()
	e.braces(func() {
		e.text("entityType", olderTypes[ev.kind])
		e.time("evidenceCreationTime", ev.created)
		e.text("verdict", pascal(ev.verdict))
		e.text("remediationStatus", pascal(ev.remediation))
		for _, k := range entityKeys {
			if n, ok := numbers[k]; ok {
				e.int(k, n)
			} else {
				e.str(k, texts[k])
			}
		}
	})
}

// entity is what the older API says about a piece of evidence.
func (ev *evidence) entity() (texts map[string]string, numbers map[string]int64) {
	switch ev.kind {
	case "user":
		texts = map[string]string{"accountName": ev.user.account, "domainName": ntDomain, "userSid": ev.user.sid, "aadUserId": ev.user.aadID, "userPrincipalName": ev.user.upn}
	case "ip":
		texts = map[string]string{"ipAddress": ev.address.ip}
	case "url":
		texts = map[string]string{"url": ev.url}
	case "file":
		texts = ev.fileEntity()
	case "process":
		texts = ev.fileEntity()
		texts["processCommandLine"] = ev.file.command
		texts["processCreationTime"] = ev.started.Format(wireTime)
		texts["parentProcessCreationTime"] = ev.ppStarted.Format(wireTime)
		numbers = map[string]int64{"processId": ev.pid, "parentProcessId": ev.ppid}
	case "mailbox":
		texts = map[string]string{"userPrincipalName": ev.user.upn, "mailboxDisplayName": ev.user.display, "mailboxAddress": ev.user.upn}
	case "analyzedMessage":
		texts = map[string]string{"userPrincipalName": ev.to.upn, "sender": ev.mail.sender, "recipient": ev.to.upn, "subject": ev.mail.subject, "deliveryAction": "Delivered"}
	case "mailCluster":
		texts = map[string]string{"clusterBy": pick(ev.r, clusterBy)}
	case "securityGroup":
		texts = map[string]string{"securityGroupId": ev.group.id, "securityGroupName": ev.group.name}
	case "registryKey":
		texts = map[string]string{"registryHive": registryKeys[ev.registry].hive, "registryKey": registryKeys[ev.registry].key}
	case "registryValue":
		k := registryKeys[ev.registry]
		texts = map[string]string{"registryHive": k.hive, "registryKey": k.key, "registryValueType": "String", "registryValue": k.value}
	}
	return texts, numbers
}

func (ev *evidence) fileEntity() map[string]string {
	return map[string]string{"sha1": ev.file.sha1, "sha256": ev.file.sha256, "fileName": ev.file.name, "filePath": ev.file.path, "deviceId": ev.host.id}
}

// pascal is the older API's spelling of a member.
func pascal(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func olderSeverity(s string) string {
	if s == "unknown" {
		return "UnSpecified"
	}
	return pascal(s)
}

func olderDetermination(s string) string {
	switch s {
	case "unknown":
		return "NotAvailable"
	case "notEnoughDataToValidate":
		return "NoEnoughDataToValidate"
	}
	return pascal(s)
}

func olderService(s string) string {
	if s == "microsoftDefenderForCloudApps" {
		return "MicrosoftCloudAppSecurity"
	}
	return pascal(s)
}

func olderDetection(s string) string {
	switch s {
	case "antivirus":
		return "WindowsDefenderAv"
	case "cloudAppSecurity":
		return "MCAS"
	case "microsoftDefenderForOffice365":
		return "OfficeATP"
	}
	return pascal(s)
}
