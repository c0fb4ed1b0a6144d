package translate

import (
	"strings"
	"unicode"
)

// An enumeration is one enum of the Graph vocabulary. It reads either API's
// spelling of a member: Graph's own, the older API's (InProgress), and the
// names that a member had before (OfficeATP).
type enumeration struct {
	members map[string]string // a spelling, as served or folded, to the Graph member
}

// newEnumeration makes an enum of its members, given in one text with spaces
// between them, and of former spellings, each as "Former member".
func newEnumeration(members string, former ...string) enumeration {
	e := enumeration{make(map[string]string)}
	for _, m := range append(strings.Fields(members), "unknownFutureValue") {
		e.members[m], e.members[foldSpelling(m)] = m, m
	}
	for _, f := range former {
		spelling, m, _ := strings.Cut(f, " ")
		e.members[spelling], e.members[foldSpelling(spelling)] = m, m
	}
	return e
}

// member returns the Graph member for what was served. One that is not known
// is kept, in the form Graph would give it, with known false.
func (e enumeration) member(served string) (member string, known bool) {
	if m, ok := e.members[served]; ok {
		return m, true
	}
	if m, ok := e.members[foldSpelling(served)]; ok {
		return m, true
	}
	return camelCase(served), false
}

// The enums of incidents and alerts.
var (
	enumIncidentStatus = newEnumeration("active resolved inProgress redirected awaitingAction")
	// The older API documents Active for alerts as well, which Graph does not have.
	enumAlertStatus = newEnumeration("unknown new inProgress resolved active")
	enumSeverity    = newEnumeration("unknown informational low medium high",
		"UnSpecified unknown")
	enumClassification = newEnumeration("unknown falsePositive truePositive informationalExpectedActivity")
	enumDetermination  = newEnumeration("unknown apt malware securityPersonnel securityTesting unwantedSoftware other"+
		" multiStagedAttack compromisedAccount phishing maliciousUserActivity notMalicious notEnoughDataToValidate"+
		" confirmedActivity lineOfBusinessApplication",
		"NotAvailable unknown", "CompromisedUser compromisedAccount", "Clean notMalicious",
		"InsufficientData notEnoughDataToValidate", "NoEnoughDataToValidate notEnoughDataToValidate",
		"ConfirmedUserActivity confirmedActivity")
	enumInvestigationState = newEnumeration("unknown terminated successfullyRemediated benign failed partiallyRemediated" +
		" running pendingApproval pendingResource queued innerFailure preexistingAlert unsupportedOs unsupportedAlertType" +
		" suppressedAlert partiallyInvestigated terminatedByUser terminatedBySystem")
	enumServiceSource = newEnumeration("unknown microsoftDefenderForEndpoint microsoftDefenderForIdentity"+
		" microsoftDefenderForCloudApps microsoftDefenderForOffice365 microsoft365Defender azureAdIdentityProtection"+
		" microsoftAppGovernance dataLossPrevention microsoftDefenderForCloud microsoftSentinel"+
		" microsoftInsiderRiskManagement microsoftThreatIntelligence microsoftSecurityForAI",
		"MicrosoftDefenderATP microsoftDefenderForEndpoint", "WindowsDefenderATP microsoftDefenderForEndpoint",
		"AzureATP microsoftDefenderForIdentity", "AzureAdvancedThreatProtection microsoftDefenderForIdentity",
		"MicrosoftCloudAppSecurity microsoftDefenderForCloudApps", "MCAS microsoftDefenderForCloudApps",
		"OfficeATP microsoftDefenderForOffice365", "MicrosoftThreatProtection microsoft365Defender", "MTP microsoft365Defender",
		"AadIdentityProtection azureAdIdentityProtection", "AppGovernance microsoftAppGovernance",
		"MicrosoftDataLossPrevention dataLossPrevention")
	enumDetectionSource = newEnumeration("unknown microsoftDefenderForEndpoint antivirus smartScreen customTi"+
		" microsoftDefenderForOffice365 automatedInvestigation microsoftThreatExperts customDetection"+
		" microsoftDefenderForIdentity cloudAppSecurity microsoft365Defender azureAdIdentityProtection manual"+
		" microsoftDataLossPrevention appGovernancePolicy appGovernanceDetection microsoftDefenderForCloud"+
		" microsoftDefenderForIoT microsoftDefenderForServers microsoftDefenderForStorage microsoftDefenderForDNS"+
		" microsoftDefenderForDatabases microsoftDefenderForContainers microsoftDefenderForNetwork"+
		" microsoftDefenderForAppService microsoftDefenderForKeyVault microsoftDefenderForResourceManager"+
		" microsoftDefenderForApiManagement nrtAlerts scheduledAlerts microsoftDefenderThreatIntelligenceAnalytics builtInMl"+
		" microsoftInsiderRiskManagement microsoftThreatIntelligence microsoftDefenderForAIServices securityCopilot microsoftSentinel",
		"WindowsDefenderAv antivirus", "WindowsDefenderAtp microsoftDefenderForEndpoint",
		"MicrosoftDefenderATP microsoftDefenderForEndpoint", "WindowsDefenderSmartScreen smartScreen",
		"CustomerTI customTi", "ThreatExperts microsoftThreatExperts", "OfficeATP microsoftDefenderForOffice365",
		"AzureATP microsoftDefenderForIdentity", "MCAS cloudAppSecurity", "MicrosoftCloudAppSecurity cloudAppSecurity",
		"MicrosoftDefenderForCloudApps cloudAppSecurity", "MicrosoftThreatProtection microsoft365Defender", "MTP microsoft365Defender",
		"AadIdentityProtection azureAdIdentityProtection", "DataLossPrevention microsoftDataLossPrevention")
)

// The enums of evidence.
var (
	enumVerdict           = newEnumeration("unknown suspicious malicious noThreatsFound")
	enumRemediationStatus = newEnumeration("none remediated prevented blocked notFound active pendingApproval declined" +
		" unremediated running partiallyRemediated")
	enumRole = newEnumeration("unknown contextual scanned source destination created added compromised edited attacked" +
		" attacker commandAndControl loaded suspicious policyViolator")
	enumHealthStatus     = newEnumeration("active inactive impairedCommunication noSensorData noSensorDataImpairedCommunication unknown")
	enumRiskScore        = newEnumeration("none informational low medium high")
	enumOnboardingStatus = newEnumeration("insufficientInfo onboarded canBeOnboarded unsupported")
	enumDefenderAVStatus = newEnumeration("notReporting disabled notUpdated updated unknown notSupported")
	enumDetectionStatus  = newEnumeration("detected blocked prevented")
	enumTeamsAction      = newEnumeration("unknown deliveredAsSpam delivered blocked replaced")
	enumTeamsLocation    = newEnumeration("unknown teams quarantine failed")
)

// foldSpelling reduces a spelling to its letters and digits in lower case, so that
// "Informational, expected activity" is informationalExpectedActivity.
func foldSpelling(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// camelCase writes a member that is not known the way Graph writes members:
// MultiStagedAttack becomes multiStagedAttack, and MCASPolicy mcasPolicy. What
// begins in lower case is left alone.
func camelCase(s string) string {
	runes := []rune(s)
	if len(runes) == 0 || !unicode.IsUpper(runes[0]) {
		return s
	}
	for i, r := range runes {
		if !unicode.IsUpper(r) || i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1]) {
			break
		}
		runes[i] = unicode.ToLower(r)
	}
	return string(runes)
}
