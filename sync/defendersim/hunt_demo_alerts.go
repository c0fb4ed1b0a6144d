package defendersim

import (
	"slices"
	"strings"
	"time"
)

// entityTypes says what AlertEvidence calls each kind of evidence.
var entityTypes = map[string]string{"device": "Machine", "user": "User", "process": "Process", "file": "File", "ip": "Ip", "url": "Url", "mailbox": "Mailbox",
	"analyzedMessage": "MailMessage", "mailCluster": "MailCluster", "securityGroup": "SecurityGroup", "registryKey": "RegistryKey", "registryValue": "RegistryValue",
	"cloudApplication": "CloudApplication", "oauthApplication": "OAuthApplication", "malware": "Malware"}

// evidence tells of the evidence of the last n alerts. All of an alert's rows
// have its time, none has a key, and some are there twice or more.
func (d *huntDemo) evidence(n int, now time.Time) []HuntRow {
	var alerts []*alert
	for _, a := range d.world.all {
		if a.Created.After(now.Add(-lookBack+2*time.Hour)) && a.Created.Before(now) {
			alerts = append(alerts, a)
		}
	}
	var rows []HuntRow
	for _, a := range alerts[max(0, len(alerts)-n):] {
		for _, ev := range a.evidence(d.world.estate) {
			clear(d.row)
			d.alert(a, &ev)
			row := HuntRow{Ticks: int64(TicksOf(a.Created)), Values: d.values(alertEvidence)}
			for rows = append(rows, row); chance(d.rand, 12); {
				rows = append(rows, HuntRow{Ticks: row.Ticks, Values: slices.Clone(row.Values)})
			}
		}
	}
	return rows
}

func (d *huntDemo) alert(a *alert, ev *evidence) {
	for k, v := range map[string]any{"AlertId": a.ID, "Title": a.Title, "Categories": string(jsonOf([]string{a.Category})), "ServiceSource": a.ServiceSource, "DetectionSource": a.DetectionSource,
		"Severity": strings.ToUpper(a.Severity[:1]) + a.Severity[1:], "EntityType": entityTypes[ev.kind], "EvidenceRole": pick(d.rand, []string{"Impacted", "Related"})} {
		d.row[k] = v
	}
	if len(a.Techniques) > 0 {
		d.row["AttackTechniques"] = string(jsonOf(a.Techniques))
	}
	switch ev.kind {
	case "process":
		d.row["ProcessCommandLine"] = ev.file.command
		d.file(ev.file)
		d.machine(ev.host)
	case "file":
		d.file(ev.file)
		d.machine(ev.host)
	case "device":
		d.machine(ev.host)
		d.row["LocalIP"] = ev.host.ip
	case "user", "mailbox":
		d.account(ev.user, "")
	case "ip":
		d.row["RemoteIP"] = ev.address.ip
	case "url":
		d.row["RemoteUrl"] = ev.url
	case "analyzedMessage":
		d.row["EmailSubject"] = ev.mail.subject
	case "cloudApplication":
		d.row["Application"], d.row["ApplicationId"] = ev.app.name, ev.app.id
	}
	d.row["AdditionalFields"] = string(jsonOf(map[string]any{"Type": ev.kind, "Roles": ev.roles}))
}

func (d *huntDemo) machine(h *host) {
	d.row["DeviceId"], d.row["DeviceName"] = h.id, h.dns
}

func (d *huntDemo) file(f *file) {
	d.row["FileName"], d.row["FolderPath"], d.row["SHA1"], d.row["FileSize"], d.row["ThreatFamily"] = f.name, f.path, f.sha1, f.size, f.family
}

// weaknesses are what is wrong with the software of the first n devices.
func (d *huntDemo) weaknesses(n int) []HuntRow {
	var rows []HuntRow
	hosts := d.world.estate.hosts
	for i := range hosts[:min(n, len(hosts))] {
		h := &hosts[i]
		for _, s := range demoSoftware {
			if !chance(d.rand, 45) {
				continue
			}
			version := pick(d.rand, s.versions)
			for _, cve := range s.cves {
				clear(d.row)
				d.weakness(h, version, cve)
				d.row["SoftwareVendor"], d.row["SoftwareName"] = s.vendor, s.name
				rows = append(rows, HuntRow{Values: d.values(vulnerabilities)})
			}
		}
	}
	return rows
}

func (d *huntDemo) weakness(h *host, version, cve string) {
	d.row["DeviceId"], d.row["DeviceName"], d.row["OSPlatform"], d.row["OSVersion"], d.row["OSArchitecture"] = h.id, h.dns, h.os, h.version, "x64"
	d.row["SoftwareVersion"], d.row["CveId"] = version, cve
	d.row["VulnerabilitySeverityLevel"] = []string{"Critical", "High", "Medium", "Low"}[int(cve[len(cve)-1])%4] // the same on every device
	d.row["CveTags"] = jsonOf([]string{})
	switch {
	case strings.HasSuffix(cve, "44228"):
		d.row["CveTags"] = jsonOf([]string{"ZeroDay"})
	case chance(d.rand, 20):
		d.row["CveTags"] = nil
	}
	if chance(d.rand, 40) {
		d.row["RecommendedSecurityUpdate"], d.row["RecommendedSecurityUpdateId"] = "November 2026 Security Updates", itoa(5_040_000+int64(cve[len(cve)-1]))
	}
}
