package translate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// BenchmarkTranslate is a page of 50 incidents with 4 alerts of 5 pieces of
// evidence each.
func BenchmarkTranslate(b *testing.B) {
	records := make([]jsontext.Value, 50)
	size := 0
	for i := range records {
		alerts := make([]string, 4)
		for j := range alerts {
			alerts[j] = sampleAlert(fmt.Sprintf("da%d_%d", i, j), i, sampleEvidence[:]...)
		}
		records[i] = jsontext.Value(sampleIncident(i, alerts...))
		size += len(records[i])
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		got := Incidents(defender.Graph, sampleTenant, records, time.Now())
		if len(got.Incidents) != 50 || len(got.Alerts) != 200 || len(got.Alerts[0].Evidence) != 5 {
			b.Fatalf("%d incidents, %d alerts", len(got.Incidents), len(got.Alerts))
		}
	}
}

const sampleTenant = "11111111-2222-3333-4444-555555555555"

func sampleIncident(n int, alerts ...string) string {
	return fmt.Sprintf(`{"@odata.type":"#microsoft.graph.security.incident","id":"%d","tenantId":"b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c",
"status":"active","incidentWebUrl":"https://security.microsoft.com/incident2/%[1]d/overview?tid=b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c",
"redirectIncidentId":null,"displayName":"Multi-stage incident on multiple endpoints","createdDateTime":"2026-07-22T18:37:11.5233333Z",
"lastUpdateDateTime":"2026-07-22T18:37:58.9134567Z","assignedTo":"kai@contoso.com","classification":"truePositive",
"determination":"multiStagedAttack","severity":"medium","customTags":["Demo"],"systemTags":["Credential Phish"],"description":"One “quoted” line",
"lastModifiedBy":"Microsoft 365 Defender-IncidentCreation","resolvingComment":null,"summary":null,"priorityScore":18,
"comments":[{"comment":"seen","createdByDisplayName":"David","createdDateTime":"2026-07-22T19:00:00.1234567Z"}],
"alerts":[%s]}`, n, strings.Join(alerts, ","))
}

func sampleAlert(id string, incident int, evidence ...string) string {
	return fmt.Sprintf(`{"@odata.type":"#microsoft.graph.security.alert","id":%q,"providerAlertId":"x-%[1]s","incidentId":"%d","status":"new",
"severity":"low","classification":"unknown","determination":"unknown","serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus",
"productName":"Microsoft Defender for Endpoint","detectorId":"e0da400f-affd-43ef-b1d5-afc2eb6f2756","tenantId":"b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c",
"title":"Suspicious execution of hidden file","description":"A hidden file has been launched.\n\nThis activity could indicate a compromised host.",
"recommendedActions":"Collect artifacts\n\tReview the timeline","category":"DefenseEvasion","categories":["DefenseEvasion"],"assignedTo":null,
"alertWebUrl":"https://security.microsoft.com/alerts/x","incidentWebUrl":"https://security.microsoft.com/incidents/x","actorDisplayName":null,
"threatDisplayName":null,"threatFamilyName":null,"mitreTechniques":["T1564.001"],"createdDateTime":"2026-07-22T18:37:11.3333333Z",
"lastUpdateDateTime":"2026-07-22T18:39:50.5633333Z","resolvedDateTime":null,"firstActivityDateTime":"2026-07-22T18:36:00Z",
"lastActivityDateTime":"2026-07-22T18:37:00Z","systemTags":[],"alertPolicyId":null,"investigationState":"queued","comments":[],
"customDetails":{},"additionalData":null,"evidence":[%s]}`, id, incident, strings.Join(evidence, ","))
}

var sampleEvidence = [5]string{
	`{"@odata.type":"#microsoft.graph.security.deviceEvidence","createdDateTime":"2026-04-27T12:19:27.7211305Z","verdict":"unknown","remediationStatus":"none",
"remediationStatusDetails":null,"firstSeenDateTime":"2025-09-12T07:28:32.4321753Z","mdeDeviceId":"73e7e2de709dff64ef64b1d0c30e67fab63279db","azureAdDeviceId":null,
"deviceDnsName":"host.contoso.com","hostName":"host","osPlatform":"Windows10","osBuild":22424,"version":"Other","healthStatus":"active","riskScore":"medium",
"rbacGroupId":75,"rbacGroupName":"UnassignedGroup","onboardingStatus":"onboarded","defenderAvStatus":"unknown","loggedOnUsers":[],"roles":["compromised"],
"tags":["Test Machine"],"vmMetadata":{"vmId":"ca1b0d41-5a3b-4d95-b48b-f220aed11d78","cloudProvider":"azure"}}`,
	`{"@odata.type":"#microsoft.graph.security.fileEvidence","createdDateTime":"2026-04-27T12:19:27.7211305Z","verdict":"malicious","remediationStatus":"remediated",
"detectionStatus":"detected","mdeDeviceId":"73e7e2de709dff64ef64b1d0c30e67fab63279db","roles":[],"tags":[],"fileDetails":{"sha1":"5f1e8acedc065031aad553b710838eb366cfee9a",
"sha256":"8963a19fb992ad9a76576c5638fd68292cffb9aaac29eb8285f9abf6196a7dec","fileName":"MsSense.exe","filePath":"C:\\Program Files\\temp","fileSize":6136392,"signer":null}}`,
	`{"@odata.type":"#microsoft.graph.security.processEvidence","createdDateTime":"2026-04-27T12:19:27.7211305Z","verdict":"unknown","remediationStatus":"none",
"processId":4780,"parentProcessId":668,"processCommandLine":"\"MsSense.exe\"","processCreationDateTime":"2026-08-12T12:43:19.0772577Z",
"parentProcessCreationDateTime":"2026-08-12T07:39:09.0909239Z","detectionStatus":"detected","mdeDeviceId":"73e7e2de709dff64ef64b1d0c30e67fab63279db","roles":[],"tags":[],
"imageFile":{"sha1":"5f1e8acedc065031aad553b710838eb366cfee9a","sha256":null,"fileName":"MsSense.exe","filePath":"C:\\Program Files\\temp","fileSize":6136392},
"parentProcessImageFile":{"sha1":null,"fileName":"services.exe","filePath":"C:\\Windows\\System32","fileSize":731744},
"userAccount":{"accountName":"SYSTEM","domainName":"NT AUTHORITY","userSid":"S-1-5-18","azureAdUserId":null,"userPrincipalName":null}}`,
	`{"@odata.type":"#microsoft.graph.security.ipEvidence","createdDateTime":"2026-04-27T12:19:27.72Z","verdict":"suspicious","remediationStatus":"none","ipAddress":"203.0.113.7",
"countryLetterCode":"NL","roles":["attacker"],"tags":[]}`,
	`{"@odata.type":"#microsoft.graph.security.userEvidence","createdDateTime":"2026-04-27T12:19:27.72Z","verdict":"unknown","remediationStatus":"none","roles":[],"tags":[],
"userAccount":{"accountName":"kai","domainName":"CONTOSO","userSid":"S-1-5-21-1","azureAdUserId":"fc8f7484-f813-4db2-afab-bc1507913fb6","userPrincipalName":"kai@contoso.com","displayName":"Kai"}}`,
}
