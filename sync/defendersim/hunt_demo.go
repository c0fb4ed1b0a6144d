package defendersim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A huntDemo invents the rows of a demo.
type huntDemo struct {
	rand    *rand.Rand
	world   *World
	reports map[string]int64 // the last ReportId of each device, which begin again now and then
	cols    map[string][]HuntColumn
	row     map[string]any // the row that is being made
}

// DemoHunting returns believable tables of the last 30 days: DeviceProcessEvents,
// DeviceLogonEvents, EmailEvents, AlertEvidence and, without a time,
// DeviceTvmSoftwareVulnerabilities. The same arguments give the same rows. A
// scale of 1 is about two and a half thousand rows in all. The hosts, people
// and alerts are those of a world of the same seed.
func DemoHunting(seed uint64, now time.Time, scale int) *HuntTables {
	return NewWorld(WorldOptions{Seed: seed, Now: func() time.Time { return now }}).DemoHunting(scale)
}

// DemoHunting returns tables as [DemoHunting] does, about the hosts, people
// and alerts of this world.
func (w *World) DemoHunting(scale int) *HuntTables {
	w.mu.RLock()
	defer w.mu.RUnlock()
	now := tick(w.opt.Now())
	d := &huntDemo{rand: rand.New(rand.NewPCG(w.opt.Seed, 0x68756e74)), world: w, reports: map[string]int64{}, cols: map[string][]HuntColumn{}, row: map[string]any{}}
	h := NewHunting()
	h.demo = d
	for _, t := range demoTables() {
		h.AddTable(t)
		d.cols[t.Name] = t.Columns
	}
	h.AddRows(processEvents, d.many(1000*scale, processEvents, now, d.process)...)
	h.AddRows(logonEvents, d.many(500*scale, logonEvents, now, d.logon)...)
	h.AddRows(emailEvents, d.many(400*scale, emailEvents, now, d.email)...)
	h.AddRows(alertEvidence, d.evidence(80*scale, now)...)
	h.AddRows(vulnerabilities, d.weaknesses(60*scale)...)
	return h
}

// LiveStep lets a few events happen now in the tables of a demo, and returns
// how many. Some are reported late, by a device that had been off. It does
// nothing to tables that are no demo's.
func (h *HuntTables) LiveStep(now time.Time) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.demo
	if d == nil {
		return 0
	}
	n := 0
	for _, kind := range []struct {
		table   string
		percent int
		make    func(at HuntTicks)
	}{{processEvents, 100, d.process}, {processEvents, 60, d.process}, {logonEvents, 70, d.logon}, {emailEvents, 50, d.email}} {
		if t := h.tables[kind.table]; t != nil && chance(d.rand, kind.percent) {
			at := now.Add(-time.Duration(d.rand.Int64N(int64(20 * time.Second))))
			if chance(d.rand, 3) {
				at = at.Add(-time.Duration(d.rand.Int64N(int64(72 * time.Hour))))
			}
			t.add([]HuntRow{d.event(kind.table, TicksOf(at), kind.make)})
			n++
		}
	}
	return n
}

// many makes events of the last 30 days: more of them by day than by night,
// some at the same tick, and now and then one that is told twice.
func (d *huntDemo) many(n int, table string, now time.Time, fill func(at HuntTicks)) []HuntRow {
	rows := make([]HuntRow, 0, n)
	var last HuntTicks
	for len(rows) < n {
		at := TicksOf(now.Add(-lull - time.Duration(d.rand.Int64N(int64(lookBack-2*time.Hour)))))
		if hour := at.Time().Hour(); (hour < 7 || hour > 18) && chance(d.rand, 70) {
			continue
		}
		if last != 0 && chance(d.rand, 6) {
			at = last
		}
		last = at
		row := d.event(table, at, fill)
		rows = append(rows, row)
		if len(rows)%250 == 0 && len(rows) < n {
			rows = append(rows, HuntRow{Ticks: row.Ticks, Values: append([]any(nil), row.Values...)})
		}
	}
	return rows
}

func (d *huntDemo) event(table string, at HuntTicks, fill func(at HuntTicks)) HuntRow {
	if table == emailEvents {
		at = at / HuntTicks(ticksPerSecond) * HuntTicks(ticksPerSecond) // mail is told of by the second
	}
	clear(d.row)
	fill(at)
	return HuntRow{Ticks: int64(at), Values: d.values(table)}
}

// values puts the row in the order of the table's columns.
func (d *huntDemo) values(table string) []any {
	cols := d.cols[table]
	values := make([]any, len(cols))
	for i, c := range cols {
		if values[i] = d.row[c.Name]; values[i] == nil && c.Type == "string" {
			values[i] = ""
		}
	}
	return values
}

// device fills what every event of a device begins with.
func (d *huntDemo) device() *host {
	h := &d.world.estate.hosts[d.rand.IntN(len(d.world.estate.hosts))]
	d.reports[h.id] = d.reports[h.id]%9999 + 1
	d.row["DeviceId"], d.row["DeviceName"], d.row["ReportId"] = h.id, h.dns, d.reports[h.id]
	return h
}

func (d *huntDemo) account(u *user, prefix string) {
	d.row[prefix+"AccountDomain"], d.row[prefix+"AccountName"], d.row[prefix+"AccountSid"] = ntDomain, u.account, u.sid
	d.row[prefix+"AccountUpn"], d.row[prefix+"AccountObjectId"] = u.upn, u.aadID
}

// initiating fills the process that something was done by.
func (d *huntDemo) initiating(at HuntTicks) {
	r, e := d.rand, d.world.estate
	f, parent, u := pick(r, e.tools), pick(r, e.tools), pick(r, e.users)
	began := at - HuntTicks(r.Int64N(3600*ticksPerSecond))
	d.account(&u, "InitiatingProcess")
	for k, v := range map[string]any{"IntegrityLevel": pick(r, []string{"Medium", "High", "System"}), "TokenElevation": pick(r, []string{"TokenElevationTypeDefault", "TokenElevationTypeFull"}),
		"SHA1": f.sha1, "SHA256": f.sha256, "MD5": f.md5, "FileName": f.name, "FileSize": f.size, "Id": int64(500 + r.IntN(30_000)), "CommandLine": f.command, "CreationTime": began,
		"FolderPath": strings.ToLower(f.path + `\` + f.name), "ParentId": int64(4 + r.IntN(9000)), "ParentFileName": parent.name} {
		d.row["InitiatingProcess"+k] = v
	}
	if chance(r, 80) {
		d.row["InitiatingProcessParentCreationTime"] = began - HuntTicks(r.Int64N(86400*ticksPerSecond))
	}
}

func (d *huntDemo) process(at HuntTicks) {
	r, e := d.rand, d.world.estate
	h := d.device()
	u := pick(r, e.users)
	f := pick(r, e.tools)
	if chance(r, 4) {
		f = pick(r, e.malware)
	}
	d.initiating(at)
	d.account(&u, "")
	command := f.command
	if chance(r, 1) {
		command += "\x00/quiet\x00"
	}
	logon := int64(1e5) + r.Int64N(1e9)
	for k, v := range map[string]any{"ActionType": "ProcessCreated", "FileName": f.name, "FolderPath": f.path + `\` + f.name, "SHA1": f.sha1, "SHA256": f.sha256, "MD5": f.md5, "FileSize": f.size,
		"ProcessVersionInfoCompanyName": f.publisher, "ProcessId": int64(500 + r.IntN(30_000)), "ProcessCommandLine": command, "ProcessIntegrityLevel": pick(r, []string{"Medium", "High", "System", "Low"}),
		"ProcessTokenElevation": "TokenElevationTypeDefault", "ProcessCreationTime": at - HuntTicks(r.Int64N(ticksPerSecond)), "LogonId": logon, "LogonID": logon + int64(r.IntN(2)),
		"InitiatingProcessLogonId": int64(999), "InitiatingProcessSignerType": "OsVendor", "InitiatingProcessSignatureStatus": "Valid", "IsInitiatingProcessRemoteSession": false,
		"ProcessUniqueId": itoa(r.Int64()), "IsProcessRemoteSession": chance(r, 5), "InitiatingProcessSessionId": int64(r.IntN(4))} {
		d.row[k] = v
	}
	if chance(r, 10) {
		d.row["LogonId"] = int64(1<<53) + r.Int64N(1<<40)*2 + 1 // no double holds it
	}
	if h.tags != nil && chance(r, 30) {
		d.row["AdditionalFields"] = `{"InitiatingProcessTags":` + string(jsonOf(h.tags)) + `}`
	}
}

func jsonOf(v any) json.RawMessage {
	b, _ := json.Marshal(v) // texts
	return b
}

func (d *huntDemo) logon(at HuntTicks) {
	r, e := d.rand, d.world.estate
	d.device()
	u := pick(r, e.users)
	d.initiating(at)
	d.account(&u, "")
	d.row["ActionType"], d.row["LogonType"], d.row["LogonId"] = "LogonSuccess", pick(r, []string{"Interactive", "Network", "RemoteInteractive", "Service"}), int64(1e5)+r.Int64N(1e9)
	d.row["Protocol"], d.row["IsLocalAdmin"] = pick(r, []string{"NTLM", "Kerberos", "Negotiate"}), chance(r, 20)
	if chance(r, 15) {
		d.row["ActionType"], d.row["FailureReason"], d.row["IsLocalAdmin"], d.row["LogonId"] = "LogonFailed", "InvalidUserNameOrPassword", nil, nil
	}
	if chance(r, 50) {
		from := pick(r, e.hosts)
		d.row["RemoteDeviceName"], d.row["RemoteIP"], d.row["RemoteIPType"], d.row["RemotePort"] = from.name, from.ip, "Private", int64(49152+r.IntN(16000))
	}
	if chance(r, 3) {
		a := pick(r, e.addresses)
		d.row["RemoteIP"], d.row["RemoteIPType"], d.row["RemotePort"] = a.ip, "Public", int64(r.IntN(65536))
	}
}

func (d *huntDemo) email(HuntTicks) {
	r, e := d.rand, d.world.estate
	m, to := pick(r, e.mails), pick(r, e.users)
	id := guid(r)
	threat := pick(r, []string{"", "", "", "Phish", "Spam", "Malware, Phish"})
	action, place := "Delivered", "Inbox/folder"
	if threat != "" {
		action, place = "Blocked", "Quarantine"
	}
	for k, v := range map[string]any{"NetworkMessageId": id, "InternetMessageId": "<" + id[:13] + "@" + m.domain + ">", "SenderMailFromAddress": m.sender, "SenderFromAddress": m.sender, "SenderDisplayName": m.display,
		"SenderMailFromDomain": m.domain, "SenderFromDomain": m.domain, "SenderIPv4": m.ip, "RecipientEmailAddress": to.upn, "RecipientObjectId": to.aadID, "Subject": m.subject,
		"EmailDirection": "Inbound", "DeliveryAction": action, "DeliveryLocation": place, "ThreatTypes": threat,
		"AuthenticationDetails": `{"SPF":"pass","DKIM":"none","DMARC":"none"}`, "AttachmentCount": int64(r.IntN(3)), "UrlCount": int64(r.IntN(6)), "EmailLanguage": "en",
		"ReportId": id + "-" + itoa(int64(r.Uint32())), "LatestDeliveryAction": action, "LatestDeliveryLocation": place} {
		d.row[k] = v
	}
	if strings.Contains(m.ip, ":") {
		d.row["SenderIPv4"], d.row["SenderIPv6"] = nil, m.ip
	}
	if chance(r, 70) {
		d.row["EmailClusterId"] = int64(r.Uint64()>>2) | 1 // beyond what a double holds
	}
	if threat != "" {
		d.row["ConfidenceLevel"], d.row["BulkComplaintLevel"] = fmt.Sprintf(`{"Phish":"%s"}`, pick(r, []string{"High", "Normal"})), int64(r.IntN(9))
	}
}
