package translate

import "testing"

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
