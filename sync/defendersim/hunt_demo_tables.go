package defendersim

import "strings"

// huntColumns reads a list of columns: a name, which is one of texts, or
// name:type.
func huntColumns(list string) []HuntColumn {
	var cols []HuntColumn
	for _, word := range strings.Fields(list) {
		name, typ, ok := strings.Cut(word, ":")
		if !ok {
			typ = "string"
		}
		cols = append(cols, HuntColumn{name, typ})
	}
	return cols
}

const initiator = ` InitiatingProcessAccountDomain InitiatingProcessAccountName InitiatingProcessAccountSid InitiatingProcessAccountUpn InitiatingProcessAccountObjectId
	InitiatingProcessIntegrityLevel InitiatingProcessTokenElevation InitiatingProcessSHA1 InitiatingProcessSHA256 InitiatingProcessMD5 InitiatingProcessFileName InitiatingProcessFileSize:long
	InitiatingProcessId:long InitiatingProcessCommandLine InitiatingProcessCreationTime:datetime InitiatingProcessFolderPath InitiatingProcessParentId:long InitiatingProcessParentFileName
	InitiatingProcessParentCreationTime:datetime`

// demoTables are the tables of a demo as the service has them, but for some
// columns that say the same again of a file's version.
func demoTables() []HuntTable {
	return []HuntTable{
		{Name: processEvents, Time: "Timestamp", Columns: huntColumns(`Timestamp:datetime DeviceId DeviceName ActionType FileName FolderPath SHA1 SHA256 MD5 FileSize:long ProcessVersionInfoCompanyName
			ProcessId:long ProcessCommandLine ProcessIntegrityLevel ProcessTokenElevation ProcessCreationTime:datetime AccountDomain AccountName AccountSid AccountUpn AccountObjectId LogonId:long` +
			initiator + ` InitiatingProcessLogonId:long InitiatingProcessSignerType InitiatingProcessSignatureStatus ReportId:long AppGuardContainerId AdditionalFields
			InitiatingProcessSessionId:long IsInitiatingProcessRemoteSession:bool InitiatingProcessRemoteSessionIP CreatedProcessSessionId:long IsProcessRemoteSession:bool ProcessUniqueId LogonID:long`)},
		{Name: logonEvents, Time: "Timestamp", Columns: huntColumns(`Timestamp:datetime DeviceId DeviceName ActionType LogonType AccountDomain AccountName AccountSid Protocol FailureReason IsLocalAdmin:bool LogonId:long
			RemoteDeviceName RemoteIP RemoteIPType RemotePort:int` + initiator + ` ReportId:long AppGuardContainerId AdditionalFields IsInitiatingProcessRemoteSession:bool`)},
		{Name: emailEvents, Time: "Timestamp", Columns: huntColumns(`Timestamp:datetime NetworkMessageId InternetMessageId SenderMailFromAddress SenderFromAddress SenderDisplayName SenderObjectId SenderMailFromDomain
			SenderFromDomain SenderIPv4 SenderIPv6 RecipientEmailAddress RecipientObjectId Subject EmailClusterId:long EmailDirection DeliveryAction DeliveryLocation ThreatTypes ThreatNames DetectionMethods
			ConfidenceLevel BulkComplaintLevel:int EmailAction EmailActionPolicy EmailActionPolicyGuid AuthenticationDetails AttachmentCount:int UrlCount:int EmailLanguage Connectors OrgLevelAction OrgLevelPolicy
			UserLevelAction UserLevelPolicy ReportId AdditionalFields LatestDeliveryLocation LatestDeliveryAction DistributionList`)},
		{Name: alertEvidence, Time: "Timestamp", Columns: huntColumns(`Timestamp:datetime AlertId Title Categories AttackTechniques ServiceSource DetectionSource EntityType EvidenceRole EvidenceDirection FileName FolderPath
			SHA1 SHA256 FileSize:long ThreatFamily RemoteIP RemoteUrl AccountName AccountDomain AccountSid AccountObjectId AccountUpn DeviceId DeviceName LocalIP NetworkMessageId EmailSubject Application
			ApplicationId:int OAuthApplicationId ProcessCommandLine RegistryKey RegistryValueName RegistryValueData AdditionalFields Severity CloudResource CloudPlatform ResourceType ResourceID SubscriptionId`)},
		{Name: vulnerabilities, Columns: huntColumns(`DeviceId DeviceName OSPlatform OSVersion OSArchitecture SoftwareVendor SoftwareName SoftwareVersion CveId VulnerabilitySeverityLevel RecommendedSecurityUpdate
			RecommendedSecurityUpdateId CveTags:dynamic`)},
	}
}

// The tables of a demo.
const (
	processEvents   = "DeviceProcessEvents"
	logonEvents     = "DeviceLogonEvents"
	emailEvents     = "EmailEvents"
	alertEvidence   = "AlertEvidence"
	vulnerabilities = "DeviceTvmSoftwareVulnerabilities"
)

var demoSoftware = []struct {
	vendor, name string
	versions     []string
	cves         []string
}{
	{"google", "chrome", []string{"129.0.6668.58", "130.0.6723.44", "131.0.6778.85"}, []string{"CVE-2026-10231", "CVE-2026-10232", "CVE-2026-11394"}},
	{"microsoft", "edge_chromium-based", []string{"129.0.2792.52", "131.0.2903.51"}, []string{"CVE-2026-10231", "CVE-2026-20417"}},
	{"openssl", "openssl", []string{"1.1.1.23", "3.0.14.0"}, []string{"CVE-2025-40110", "CVE-2026-00871"}},
	{"mozilla", "firefox", []string{"131.0.2.0", "132.0.0.0"}, []string{"CVE-2026-30115", "CVE-2026-30117", "CVE-2026-30204"}},
	{"adobe", "acrobat_reader_dc", []string{"24.2.20857.0", "24.4.20220.0"}, []string{"CVE-2026-44001"}},
	{"7-zip", "7-zip", []string{"22.1.0.0", "23.1.0.0"}, []string{"CVE-2025-51188"}},
	{"apache", "log4j", []string{"2.14.1.0"}, []string{"CVE-2021-44228", "CVE-2021-45046"}},
}
