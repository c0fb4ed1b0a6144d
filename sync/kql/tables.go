package kql

import (
	_ "embed"
	"slices"
	"strings"
)

// Table is what is known of a hunting table before it is asked.
type Table struct {
	Name     string   // as the service spells it; case counts
	Time     string   // the column that says when a row happened, which windows are about; "" for none
	Key      []string // the columns that tell rows apart; nil: only the whole row does. Callers don't change it.
	Mutable  bool     // rows change after they were first served, so newer ones of a key replace older ones
	Snapshot bool     // the rows say what is so now, not what happened: an inventory, an assessment or a knowledge base
}

// Lookup finds a table by its name.
func Lookup(name string) (Table, bool) {
	i, found := slices.BinarySearchFunc(known, name, func(t Table, name string) int { return strings.Compare(t.Name, name) })
	if !found {
		return Table{}, false
	}
	return known[i], true
}

// Tables lists the known tables by name.
func Tables() []Table { return slices.Clone(known) }

// documented has the columns of each known table in a line: its name, a colon,
// and theirs.
//
//go:embed columns.txt
var documented string

// Columns lists the columns that the documentation knows of a table, in its order;
// none of a table that it does not know. The service may serve more, and to some
// tenants fewer.
func Columns(table string) []string {
	_, line, found := strings.Cut("\n"+documented, "\n"+table+": ")
	if !found {
		return nil
	}
	line, _, _ = strings.Cut(line, "\n")
	return strings.Fields(line)
}

type columns = []string

const timestamp = "Timestamp"

var (
	// reportID tells rows apart where the documentation calls it unique.
	reportID = columns{"ReportId"}
	// deviceReport is for the tables whose ReportId is a counter that starts
	// again on each device.
	deviceReport = columns{"DeviceId", timestamp, "ReportId"}
)

// known is sorted by name. Documentation spells the audit of Graph in two ways,
// and names count with their case, so it is here twice.
var known = []Table{
	{Name: "AADSignInEventsBeta", Time: timestamp, Key: reportID},
	{Name: "AADSpnSignInEventsBeta", Time: timestamp, Key: reportID},
	{Name: "AIAgentsInfo", Time: timestamp, Key: columns{"AIAgentId", "Timestamp"}},
	{Name: "AgentsInfo", Time: timestamp, Key: columns{"AgentId", "Timestamp"}},
	{Name: "AlertEvidence", Time: timestamp},
	{Name: "AlertInfo", Time: timestamp, Key: columns{"AlertId"}},
	{Name: "BehaviorEntities", Time: timestamp},
	{Name: "BehaviorInfo", Time: timestamp, Key: columns{"BehaviorId"}},
	{Name: "CallActivityEvents", Time: "ActivityTimestamp", Key: columns{"ActivityId"}},
	{Name: "CampaignInfo", Time: timestamp, Key: columns{"CampaignId", "NetworkMessageId", "RecipientEmailAddress"}},
	{Name: "CloudAppEvents", Time: timestamp, Key: reportID},
	{Name: "CloudAuditEvents", Time: timestamp, Key: reportID},
	{Name: "CloudDnsEvents", Time: timestamp, Key: reportID},
	{Name: "CloudPolicyEnforcementEvents", Time: timestamp, Key: reportID},
	{Name: "CloudProcessEvents", Time: timestamp},
	{Name: "CloudStorageAggregatedEvents", Time: timestamp, Key: reportID},
	{Name: "DataSecurityBehaviors", Time: timestamp, Key: columns{"BehaviorId"}},
	{Name: "DataSecurityEvents", Time: timestamp, Key: columns{"ActivityId"}},
	{Name: "DeviceBaselineComplianceAssessment", Key: columns{"DeviceId", "ProfileId", "ConfigurationId"}, Snapshot: true},
	{Name: "DeviceBaselineComplianceAssessmentKB", Key: columns{"ConfigurationId", "ConfigurationBenchmark"}, Snapshot: true},
	{Name: "DeviceBaselineComplianceProfiles", Key: columns{"ProfileId"}, Snapshot: true},
	{Name: "DeviceEvents", Time: timestamp, Key: deviceReport},
	{Name: "DeviceFileCertificateInfo", Time: timestamp, Key: deviceReport},
	{Name: "DeviceFileEvents", Time: timestamp, Key: deviceReport},
	{Name: "DeviceImageLoadEvents", Time: timestamp, Key: deviceReport},
	{Name: "DeviceInfo", Time: timestamp, Key: deviceReport},
	{Name: "DeviceLogonEvents", Time: timestamp, Key: deviceReport},
	{Name: "DeviceNetworkEvents", Time: timestamp, Key: deviceReport},
	{Name: "DeviceNetworkInfo", Time: timestamp, Key: deviceReport},
	{Name: "DeviceProcessEvents", Time: timestamp, Key: deviceReport},
	{Name: "DeviceRegistryEvents", Time: timestamp, Key: deviceReport},
	{Name: "DeviceTvmBrowserExtensions", Key: columns{"DeviceId", "BrowserName", "ExtensionId", "ExtensionVersion"}, Snapshot: true},
	{Name: "DeviceTvmBrowserExtensionsKB", Key: columns{"BrowserName", "ExtensionId", "PermissionId"}, Snapshot: true},
	{Name: "DeviceTvmCertificateInfo", Key: columns{"DeviceId", "Thumbprint", "Path"}, Snapshot: true},
	{Name: "DeviceTvmHardwareFirmware", Key: columns{"DeviceId", "ComponentType", "Manufacturer", "ComponentName", "ComponentVersion"}, Snapshot: true},
	{Name: "DeviceTvmInfoGathering", Time: timestamp, Key: columns{"DeviceId"}, Snapshot: true},
	{Name: "DeviceTvmInfoGatheringKB", Key: columns{"IgId"}, Snapshot: true},
	{Name: "DeviceTvmSecureConfigurationAssessment", Time: timestamp, Key: columns{"DeviceId", "ConfigurationId"}, Snapshot: true},
	{Name: "DeviceTvmSecureConfigurationAssessmentKB", Key: columns{"ConfigurationId"}, Snapshot: true},
	{Name: "DeviceTvmSoftwareEvidenceBeta", Key: columns{"DeviceId", "SoftwareVendor", "SoftwareName", "SoftwareVersion"}, Snapshot: true},
	{Name: "DeviceTvmSoftwareInventory", Key: columns{"DeviceId", "SoftwareVendor", "SoftwareName", "SoftwareVersion"}, Snapshot: true},
	{Name: "DeviceTvmSoftwareVulnerabilities", Key: columns{"DeviceId", "SoftwareVendor", "SoftwareName", "SoftwareVersion", "CveId"}, Snapshot: true},
	{Name: "DeviceTvmSoftwareVulnerabilitiesKB", Key: columns{"CveId"}, Snapshot: true},
	{Name: "DisruptionAndResponseEvents", Time: timestamp},
	{Name: "EmailAttachmentInfo", Time: timestamp, Key: columns{"NetworkMessageId", "RecipientEmailAddress", "FileName", "SHA256", "ReportId"}},
	{Name: "EmailEvents", Time: timestamp, Key: columns{"NetworkMessageId", "RecipientEmailAddress", "ReportId"}, Mutable: true},
	{Name: "EmailPostDeliveryEvents", Time: timestamp, Key: columns{"NetworkMessageId", "RecipientEmailAddress", "Timestamp", "ActionType", "ReportId"}},
	{Name: "EmailUrlInfo", Time: timestamp, Key: columns{"NetworkMessageId", "Url", "UrlLocation", "ReportId"}},
	{Name: "EntraIdSignInEvents", Time: timestamp, Key: reportID},
	{Name: "EntraIdSpnSignInEvents", Time: timestamp, Key: reportID},
	{Name: "ExposureGraphEdges", Key: columns{"EdgeId"}, Snapshot: true},
	{Name: "ExposureGraphNodes", Key: columns{"NodeId"}, Snapshot: true},
	{Name: "FileMaliciousContentInfo", Time: timestamp, Key: reportID},
	{Name: "GraphAPIAuditEvents", Time: timestamp, Key: reportID},
	{Name: "GraphApiAuditEvents", Time: timestamp, Key: reportID},
	{Name: "IdentityAccountInfo", Time: timestamp, Key: columns{"AccountId", "Timestamp", "ReportId"}},
	{Name: "IdentityDirectoryEvents", Time: timestamp, Key: reportID},
	{Name: "IdentityEvents", Time: timestamp, Key: reportID},
	{Name: "IdentityInfo", Time: timestamp, Key: columns{"AccountObjectId", "OnPremSid", "Timestamp", "ReportId"}},
	{Name: "IdentityLogonEvents", Time: timestamp, Key: reportID},
	{Name: "IdentityQueryEvents", Time: timestamp, Key: reportID},
	{Name: "MessageEvents", Time: timestamp, Key: reportID},
	{Name: "MessagePostDeliveryEvents", Time: timestamp, Key: reportID},
	{Name: "MessageUrlInfo", Time: timestamp, Key: reportID},
	{Name: "OAuthAppInfo", Time: timestamp, Key: columns{"OAuthAppId", "Timestamp", "ReportId"}},
	{Name: "UrlClickEvents", Time: timestamp, Key: columns{"ReportId", "Timestamp", "ActionType"}},
}
