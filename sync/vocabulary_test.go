package sync

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestSnakeCase(t *testing.T) {
	tests := map[string]string{
		"lastUpdateDateTime":    "last_update_date_time",
		"SHA256":                "sha256",
		"InitiatingProcessSHA1": "initiating_process_sha1",
		"RemoteIP":              "remote_ip",
		"OSPlatform":            "os_platform",
		"IsAzureADJoined":       "is_azure_ad_joined",
		"LogonId":               "logon_id",
		"LogonID":               "logon_id",
		"TenantId":              "tenant_id",
		"MD5":                   "md5",
		"incidentWebUrl":        "incident_web_url",
		"sha256Ac":              "sha256_ac",
		"p2Sender":              "p2_sender",
		"ioTDevice":             "io_t_device",
		"gitHubRepo":            "git_hub_repo",
		"clusterIP":             "cluster_ip",
		"ISP":                   "isp",
		"IPv4Dhcp":              "i_pv4_dhcp",
		"DeviceTvmSecureConfigurationAssessmentKB": "device_tvm_secure_configuration_assessment_kb",
		"AADSignInEventsBeta":                      "aad_sign_in_events_beta",
		"count_":                                   "count_",
		"Some_Name":                                "some_name",
		"a b":                                      "a b",
		"ÄnderungsZeit":                            "änderungs_zeit",
		"":                                         "",
	}
	for name, want := range tests {
		if got := snakeCase(name); got != want {
			t.Errorf("snakeCase(%q) = %q, want %q", name, got, want)
		}
	}
}

// The rule only adds underscores and lowers capitals, and a name that it made
// is left as it is.
func TestSnakeCaseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Za-z][A-Za-z0-9]{0,30}`).Draw(t, "name")
		got := snakeCase(name)
		if strings.ReplaceAll(got, "_", "") != strings.ToLower(name) {
			t.Fatalf("%q became %q: letters changed", name, got)
		}
		if strings.Contains(got, "__") || strings.HasPrefix(got, "_") || strings.HasSuffix(got, "_") {
			t.Fatalf("%q became %q: an empty word", name, got)
		}
		if again := snakeCase(got); again != got {
			t.Fatalf("%q became %q and then %q", name, got, again)
		}
		for i, word := range strings.Split(got, "_") {
			if i > 0 && unicode.IsDigit(rune(word[0])) {
				t.Fatalf("%q became %q: a digit left what it followed", name, got)
			}
		}
	})
}

func TestSnakeCaseTakesAnyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		snakeCase(string(rapid.SliceOf(rapid.Byte()).Draw(t, "name")))
	})
}

func TestEnumerationReadsBothApis(t *testing.T) {
	tests := []struct {
		name         string
		enum         enumeration
		served, want string
	}{
		{"Graph", enumIncidentStatus, "inProgress", "inProgress"},
		{"status", enumIncidentStatus, "InProgress", "inProgress"},
		{"status", enumIncidentStatus, "Redirected", "redirected"},
		{"new member", enumIncidentStatus, "awaitingAction", "awaitingAction"},
		{"folded member", enumIncidentStatus, "unknownFutureValue", "unknownFutureValue"},
		{"alert status", enumAlertStatus, "Active", "active"},
		{"severity", enumSeverity, "UnSpecified", "unknown"},
		{"severity", enumSeverity, "Informational", "informational"},
		{"classification", enumClassification, "InformationalExpectedActivity", "informationalExpectedActivity"},
		{"classification in words", enumClassification, "Informational, expected activity", "informationalExpectedActivity"},
		{"determination", enumDetermination, "NotAvailable", "unknown"},
		{"determination", enumDetermination, "CompromisedUser", "compromisedAccount"},
		{"determination", enumDetermination, "CompromisedAccount", "compromisedAccount"},
		{"determination", enumDetermination, "Clean", "notMalicious"},
		{"determination", enumDetermination, "InsufficientData", "notEnoughDataToValidate"},
		{"determination", enumDetermination, "NoEnoughDataToValidate", "notEnoughDataToValidate"},
		{"determination", enumDetermination, "ConfirmedUserActivity", "confirmedActivity"},
		{"determination", enumDetermination, "Apt", "apt"},
		{"service", enumServiceSource, "MicrosoftDefenderATP", "microsoftDefenderForEndpoint"},
		{"service", enumServiceSource, "MicrosoftDefenderForEndpoint", "microsoftDefenderForEndpoint"},
		{"service", enumServiceSource, "OfficeATP", "microsoftDefenderForOffice365"},
		{"service", enumServiceSource, "AzureATP", "microsoftDefenderForIdentity"},
		{"service", enumServiceSource, "MicrosoftCloudAppSecurity", "microsoftDefenderForCloudApps"},
		{"service", enumServiceSource, "Microsoft365Defender", "microsoft365Defender"},
		{"detection", enumDetectionSource, "WindowsDefenderAv", "antivirus"},
		{"detection", enumDetectionSource, "MCAS", "cloudAppSecurity"},
		{"detection", enumDetectionSource, "OfficeATP", "microsoftDefenderForOffice365"},
		{"detection", enumDetectionSource, "AutomatedInvestigation", "automatedInvestigation"},
		{"investigation", enumInvestigationState, "UnsupportedOs", "unsupportedOs"},
		{"verdict", enumVerdict, "Malicious", "malicious"},
		{"remediation", enumRemediationStatus, "None", "none"},
	}
	for _, test := range tests {
		if got, known := test.enum.member(test.served); got != test.want || !known {
			t.Errorf("%s: setMember(%q) = %q, %v; want %q", test.name, test.served, got, known, test.want)
		}
	}
}

func TestEnumerationKeepsWhatItDoesNotKnow(t *testing.T) {
	tests := map[string]string{
		"SuperCritical":   "superCritical",
		"superCritical":   "superCritical",
		"MCASPolicy":      "mcasPolicy",
		"IP":              "ip",
		"X":               "x",
		"level 5, really": "level 5, really",
		"":                "",
		"\x00Odd":         "\x00Odd",
	}
	for served, want := range tests {
		if got, known := enumSeverity.member(served); got != want || known {
			t.Errorf("member(%q) = %q, %v; want %q unknown", served, got, known, want)
		}
	}
}
