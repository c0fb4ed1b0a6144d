package translate

import (
	"fmt"
	"strings"
	"testing"

	"defendersync/store"

	"github.com/google/go-cmp/cmp"
)

// evidenceOf translates evidence of a Graph alert.
func evidenceOf(t *testing.T, served ...string) ([]store.Evidence, Rows) {
	t.Helper()
	got, tr := oneAlert(t, sampleAlert("a", 1, served...))
	for i, e := range got.Evidence {
		if e.AlertID != "a" || e.EvidenceNo != int32(i+1) || e.TenantID != sampleTenant || len(e.Raw) == 0 {
			t.Errorf("evidence %d: %+v", i, e)
		}
	}
	return got.Evidence, tr
}

// bareEvidence drops what evidenceOf has checked.
func bareEvidence(all []store.Evidence) []store.Evidence {
	for i := range all {
		all[i].AlertID, all[i].EvidenceNo = "", 0
	}
	return all
}

func TestGraphEvidence(t *testing.T) {
	got, tr := evidenceOf(t, sampleEvidence[0], sampleEvidence[1], sampleEvidence[2], sampleEvidence[4],
		`{"@odata.type":"#microsoft.graph.security.mailboxEvidence","primaryAddress":"u@c","displayName":"","upn":"","userAccount":{"userPrincipalName":"u@c","displayName":"U"}}`,
		`{"@odata.type":"#microsoft.graph.security.mailboxEvidence","upn":"main","displayName":"Main","userAccount":{"userPrincipalName":"other","displayName":"Other"}}`,
		`{"@odata.type":"#microsoft.graph.security.mailboxEvidence","userAccount":{"userPrincipalName":"other","displayName":"Other"},"upn":"main","displayName":"Main"}`,
		`{"@odata.type":"#microsoft.graph.security.analyzedMessageEvidence","p1Sender":{"emailAddress":"p1@c"},"p2Sender":{"emailAddress":"p2@c"},"senderIp":"1.2.3.4"}`,
		`{"@odata.type":"#microsoft.graph.security.analyzedMessageEvidence","p2Sender":{"emailAddress":"p2@c"},"p1Sender":{"emailAddress":"p1@c"}}`,
		`{"@odata.type":"#microsoft.graph.security.analyzedMessageEvidence","p2Sender":null,"p1Sender":{"emailAddress":"p1@c"}}`,
		`{"@odata.type":"#microsoft.graph.security.cloudApplicationEvidence","appId":20892,"displayName":"Teams"}`,
		`{"@odata.type":"#microsoft.graph.security.fileHashEvidence","algorithm":"sha256","value":"abc"}`,
		`{"@odata.type":"#microsoft.graph.security.fileHashEvidence","value":"abc","algorithm":"unknown"}`,
		`{"@odata.type":"#microsoft.graph.security.hostLogonSessionEvidence","account":{"userAccount":{"accountName":"n"}},"host":{"mdeDeviceId":"d"}}`,
		`{"@odata.type":"#microsoft.graph.security.teamsMessageEvidence","senderIP":"1.1.1.1","deliveryAction":"Delivered","deliveryLocation":"teams","senderFromAddress":"s@c"}`,
		`{"@odata.type":"#microsoft.graph.security.ioTDeviceEvidence","deviceName":"cam","ipAddress":{"ipAddress":"10.0.0.1"}}`,
	)
	created := instantOf("2026-04-27T12:19:27.72113Z")
	want := []store.Evidence{
		{EvidenceType: "device", CreatedDateTime: created, Verdict: ptr("unknown"), RemediationStatus: ptr("none"), Roles: []string{"compromised"},
			Tags: []string{"Test Machine"}, HostName: ptr("host"), DeviceDNSName: ptr("host.contoso.com"), MDEDeviceID: ptr("73e7e2de709dff64ef64b1d0c30e67fab63279db"),
			OSPlatform: ptr("Windows10"), OSBuild: ptr(int64(22424)), Version: ptr("Other"), HealthStatus: ptr("active"), RiskScore: ptr("medium"),
			OnboardingStatus: ptr("onboarded"), DefenderAVStatus: ptr("unknown"), RBACGroupName: ptr("UnassignedGroup"),
			FirstSeenDateTime: instantOf("2025-09-12T07:28:32.432175Z")},
		{EvidenceType: "file", CreatedDateTime: created, Verdict: ptr("malicious"), RemediationStatus: ptr("remediated"), Roles: []string{}, Tags: []string{},
			DetectionStatus: ptr("detected"), MDEDeviceID: ptr("73e7e2de709dff64ef64b1d0c30e67fab63279db"), SHA1: ptr("5f1e8acedc065031aad553b710838eb366cfee9a"),
			SHA256: ptr("8963a19fb992ad9a76576c5638fd68292cffb9aaac29eb8285f9abf6196a7dec"), FileName: ptr("MsSense.exe"),
			FilePath: ptr(`C:\Program Files\temp`), FileSize: ptr(int64(6136392))},
		{EvidenceType: "process", CreatedDateTime: created, Verdict: ptr("unknown"), RemediationStatus: ptr("none"), Roles: []string{}, Tags: []string{},
			ProcessID: ptr(int64(4780)), ParentProcessID: ptr(int64(668)), ProcessCommandLine: ptr(`"MsSense.exe"`),
			ProcessCreationDateTime: instantOf("2026-08-12T12:43:19.077257Z"), ParentProcessCreationDateTime: instantOf("2026-08-12T07:39:09.090923Z"),
			DetectionStatus: ptr("detected"), MDEDeviceID: ptr("73e7e2de709dff64ef64b1d0c30e67fab63279db"),
			SHA1: ptr("5f1e8acedc065031aad553b710838eb366cfee9a"), FileName: ptr("MsSense.exe"), FilePath: ptr(`C:\Program Files\temp`), FileSize: ptr(int64(6136392)),
			ParentProcessFileName: ptr("services.exe"), ParentProcessFilePath: ptr(`C:\Windows\System32`),
			AccountName: ptr("SYSTEM"), DomainName: ptr("NT AUTHORITY"), UserSID: ptr("S-1-5-18")},
		{EvidenceType: "user", CreatedDateTime: instantOf("2026-04-27T12:19:27.72Z"), Verdict: ptr("unknown"), RemediationStatus: ptr("none"), Roles: []string{}, Tags: []string{},
			AccountName: ptr("kai"), DomainName: ptr("CONTOSO"), UserSID: ptr("S-1-5-21-1"), AzureADUserID: ptr("fc8f7484-f813-4db2-afab-bc1507913fb6"),
			UserPrincipalName: ptr("kai@contoso.com"), DisplayName: ptr("Kai")},
		{EvidenceType: "mailbox", PrimaryAddress: ptr("u@c"), UserPrincipalName: ptr("u@c"), DisplayName: ptr("U")},
		{EvidenceType: "mailbox", UserPrincipalName: ptr("main"), DisplayName: ptr("Main")},
		{EvidenceType: "mailbox", UserPrincipalName: ptr("main"), DisplayName: ptr("Main")},
		{EvidenceType: "analyzed_message", SenderAddress: ptr("p2@c"), SenderIP: ptr("1.2.3.4")},
		{EvidenceType: "analyzed_message", SenderAddress: ptr("p2@c")},
		{EvidenceType: "analyzed_message", SenderAddress: ptr("p1@c")},
		{EvidenceType: "cloud_application", AppID: ptr("20892"), DisplayName: ptr("Teams")},
		{EvidenceType: "file_hash", SHA256: ptr("abc")},
		{EvidenceType: "file_hash"},
		{EvidenceType: "host_logon_session", AccountName: ptr("n"), MDEDeviceID: ptr("d")},
		{EvidenceType: "teams_message", SenderIP: ptr("1.1.1.1"), DeliveryAction: ptr("delivered"), DeliveryLocation: ptr("teams"), SenderAddress: ptr("s@c")},
		{EvidenceType: "io_t_device", HostName: ptr("cam"), IPAddress: ptr("10.0.0.1")},
	}
	if diff := cmp.Diff(want, bareEvidence(got), bareRows); diff != "" {
		t.Error(diff)
	}
	if len(tr.Changes) != 0 {
		t.Errorf("changes %v", tr.Changes)
	}
}

func TestStrangeEvidence(t *testing.T) {
	got, tr := evidenceOf(t,
		`{"@odata.type":"#microsoft.graph.security.quantumDeviceEvidence","verdict":"Malicious","qubits":5}`,
		`{"verdict":"suspicious"}`, `{"@odata.type":7}`, `"loose"`, `null`, `[1]`,
		`{"@odata.type":"#microsoft.graph.security.deviceEvidence","osBuild":"x","hostName":[],"riskScore":"Extreme","tags":{},"madeUp":1}`,
		`{"@odata.type":"#microsoft.graph.security.processEvidence","imageFile":"gone","userAccount":{"accountName":{}}}`,
	)
	var kinds []string
	for _, e := range got {
		kinds = append(kinds, e.EvidenceType)
	}
	wantKinds := []string{"quantum_device", "unknown", "unknown", "unknown", "unknown", "unknown", "device", "process"}
	if diff := cmp.Diff(wantKinds, kinds); diff != "" {
		t.Error(diff)
	}
	if *got[0].Verdict != "malicious" || string(got[3].Raw) != `"loose"` || *got[6].RiskScore != "extreme" || got[6].OSBuild != nil {
		t.Errorf("%+v", got)
	}
	want := []store.SchemaChange{
		{Object: "evidence", Property: "evidence.@odata.type", Change: "unknown_evidence_type", Detail: "#microsoft.graph.security.quantumDeviceEvidence"},
		{Object: "evidence", Property: "evidence.@odata.type", Change: "unknown_evidence_type"},
		{Object: "evidence", Property: "evidence.@odata.type", Change: "type_changed", Detail: "expected string, got number"},
		{Object: "evidence", Property: "evidence", Change: "type_changed", Detail: "expected object, got string"},
		{Object: "evidence", Property: "evidence", Change: "type_changed", Detail: "expected object, got null"},
		{Object: "evidence", Property: "evidence", Change: "type_changed", Detail: "expected object, got array"},
		{Object: "evidence", Property: "evidence.osBuild", Change: "type_changed", Detail: "expected integer, got string that is no 64-bit integer"},
		{Object: "evidence", Property: "evidence.hostName", Change: "type_changed", Detail: "expected string, got array"},
		{Object: "evidence", Property: "evidence.riskScore", Change: "unknown_enum_member", Detail: "Extreme"},
		{Object: "evidence", Property: "evidence.tags", Change: "type_changed", Detail: "expected array, got object"},
		{Object: "evidence", Property: "evidence.imageFile", Change: "type_changed", Detail: "expected object, got string"},
		{Object: "evidence", Property: "evidence.userAccount.accountName", Change: "type_changed", Detail: "expected string, got object"},
	}
	if diff := cmp.Diff(want, tr.Changes); diff != "" {
		t.Error(diff)
	}
}

func TestEvidenceThatIsNoList(t *testing.T) {
	got, tr := oneAlert(t, `{"id":"a","lastUpdateDateTime":"2026-01-01T00:00:00Z","evidence":{"x":1}}`)
	if len(got.Evidence) != 0 || !strings.Contains(string(got.Raw), `"evidence":{"x":1}`) || len(tr.Changes) != 1 {
		t.Errorf("raw %s, changes %v", got.Raw, tr.Changes)
	}
}

func TestOlderEvidence(t *testing.T) {
	device := `{"mdatpDeviceId":"24c2","aadDeviceId":"aad","deviceDnsName":"h.c","osPlatform":"WindowsServer2016","version":"1607","osProcessor":"x64","osBuild":14393,
		"healthStatus":"Active","riskScore":"High","rbacGroupName":"g","rbacGroupId":9,"firstSeen":"2020-02-06T14:16:01.9330135Z","tags":["t"],
		"defenderAvStatus":"Updated","onboardingStatus":"Onboarded","vmMetadata":null}`
	entities := []string{
		`{"entityType":"User","accountName":"u","domainName":"d","userSid":"S","aadUserId":"aad","userPrincipalName":"u@c","sha1":null}`,
		`{"entityType":"Ip","ipAddress":"1.2.3.4"}`,
		`{"entityType":"Url","url":"https://x"}`,
		`{"entityType":"File","sha1":"s1","sha256":"s2","fileName":"f","filePath":"p","deviceId":"d","verdict":"Suspicious","remediationStatus":"Prevented","evidenceCreationTime":"2021-01-01T00:00:00.1234567Z"}`,
		`{"entityType":"Process","fileName":"f","processId":5,"processCommandLine":"c","processCreationTime":"2021-01-01T00:00:00Z","parentProcessId":4,"parentProcessCreationTime":"2021-01-02T00:00:00Z"}`,
		`{"entityType":"MailBox","userPrincipalName":"u@c","mailboxDisplayName":"U","mailboxAddress":"m@c"}`,
		`{"entityType":"MailMessage","sender":"s@c","recipient":"r@c","subject":"hi","deliveryAction":"Delivered"}`,
		`{"entityType":"MailCluster","clusterBy":"Subject;SenderIp"}`,
		`{"entityType":"SecurityGroup","securityGroupId":"g","securityGroupName":"G"}`,
		`{"entityType":"Registry","registryHive":"H","registryKey":"K","registryValueType":"T","registryValue":"V"}`,
		`{"entityType":"Registry","registryHive":"H","registryKey":"K","registryValue":null}`,
		`{"entityType":"CloudApplication"}`,
		`{"entityType":"OddThing"}`,
		`{"accountName":"nobody"}`,
	}
	alert, tr := oneAlert(t, fmt.Sprintf(olderAlertSample, device, strings.Join(entities, ",")))
	for i, e := range alert.Evidence {
		if e.EvidenceNo != int32(i+1) || e.AlertID != "da63" {
			t.Errorf("evidence %d: %+v", i, e)
		}
	}
	want := []store.Evidence{
		{EvidenceType: "device", MDEDeviceID: ptr("24c2"), AzureADDeviceID: ptr("aad"), HostName: ptr("h"), DeviceDNSName: ptr("h.c"), OSPlatform: ptr("WindowsServer2016"),
			Version: ptr("1607"), OSBuild: ptr(int64(14393)), HealthStatus: ptr("active"), RiskScore: ptr("high"), RBACGroupName: ptr("g"),
			FirstSeenDateTime: instantOf("2020-02-06T14:16:01.933013Z"), Tags: []string{"t"}, DefenderAVStatus: ptr("updated"), OnboardingStatus: ptr("onboarded")},
		{EvidenceType: "user", AccountName: ptr("u"), DomainName: ptr("d"), UserSID: ptr("S"), AzureADUserID: ptr("aad"), UserPrincipalName: ptr("u@c")},
		{EvidenceType: "ip", IPAddress: ptr("1.2.3.4")},
		{EvidenceType: "url", URL: ptr("https://x")},
		{EvidenceType: "file", SHA1: ptr("s1"), SHA256: ptr("s2"), FileName: ptr("f"), FilePath: ptr("p"), MDEDeviceID: ptr("d"), Verdict: ptr("suspicious"),
			RemediationStatus: ptr("prevented"), CreatedDateTime: instantOf("2021-01-01T00:00:00.123456Z")},
		{EvidenceType: "process", FileName: ptr("f"), ProcessID: ptr(int64(5)), ProcessCommandLine: ptr("c"), ProcessCreationDateTime: instantOf("2021-01-01T00:00:00Z"),
			ParentProcessID: ptr(int64(4)), ParentProcessCreationDateTime: instantOf("2021-01-02T00:00:00Z")},
		{EvidenceType: "mailbox", UserPrincipalName: ptr("u@c"), DisplayName: ptr("U"), PrimaryAddress: ptr("m@c")},
		{EvidenceType: "analyzed_message", SenderAddress: ptr("s@c"), RecipientEmailAddress: ptr("r@c"), Subject: ptr("hi"), DeliveryAction: ptr("Delivered")},
		{EvidenceType: "mail_cluster", ClusterBy: ptr("Subject;SenderIp")},
		{EvidenceType: "security_group", SecurityGroupID: ptr("g"), DisplayName: ptr("G")},
		{EvidenceType: "registry_value", RegistryHive: ptr("H"), RegistryKey: ptr("K"), RegistryValueType: ptr("T"), RegistryValue: ptr("V")},
		{EvidenceType: "registry_key", RegistryHive: ptr("H"), RegistryKey: ptr("K")},
		{EvidenceType: "cloud_application"},
		{EvidenceType: "odd_thing"},
		{EvidenceType: "unknown", AccountName: ptr("nobody")},
	}
	if diff := cmp.Diff(want, bareEvidence(alert.Evidence), bareRows); diff != "" {
		t.Error(diff)
	}
	wantChanges := []store.SchemaChange{
		{Object: "evidence", Property: "entities.entityType", Change: "unknown_evidence_type", Detail: "OddThing"},
		{Object: "evidence", Property: "entities.entityType", Change: "unknown_evidence_type"},
	}
	if diff := cmp.Diff(wantChanges, tr.Changes); diff != "" {
		t.Error(diff)
	}
}
