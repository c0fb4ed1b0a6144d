package defendersim

// A detection is what one kind of alert says: its title, its place in the
// ATT&CK matrix, the product that raises it and the evidence it carries.
// {family}, {user}, {host} and {ip} in the title are filled per alert.
type detection struct {
	title      string
	text       string
	category   string
	techniques []string
	product    product
	source     string // Graph detectionSource; "" is the product's own
	severity   string
	evidence   []string // evidence kinds, the essential first
}

// A product is a Defender workload: how its alerts are labelled.
type product int

const (
	endpoint product = iota
	office
	identity
	cloudApps
	xdr
	entra
	appGovernance
	dlp
	cloud
	sentinel
	insiderRisk
	customRule // a tenant's own detection rule
)

// A label is a product's name in the properties of an alert.
type label struct {
	service string // Graph serviceSource
	source  string // Graph detectionSource
	name    string // productName
	prefix  string // of the alert id
}

var labels = [...]label{
	endpoint:      {"microsoftDefenderForEndpoint", "microsoftDefenderForEndpoint", "Microsoft Defender for Endpoint", "da"},
	office:        {"microsoftDefenderForOffice365", "microsoftDefenderForOffice365", "Microsoft Defender for Office 365", "fa"},
	identity:      {"microsoftDefenderForIdentity", "microsoftDefenderForIdentity", "Microsoft Defender for Identity", "aa"},
	cloudApps:     {"microsoftDefenderForCloudApps", "cloudAppSecurity", "Microsoft Defender for Cloud Apps", "ca"},
	xdr:           {"microsoft365Defender", "microsoft365Defender", "Microsoft Defender XDR", "ra"},
	entra:         {"azureAdIdentityProtection", "azureAdIdentityProtection", "Microsoft Entra ID Protection", "ad"},
	appGovernance: {"microsoftAppGovernance", "appGovernanceDetection", "App Governance", "ma"},
	dlp:           {"dataLossPrevention", "microsoftDataLossPrevention", "Microsoft Data Loss Prevention", "dl"},
	cloud:         {"microsoftDefenderForCloud", "microsoftDefenderForServers", "Microsoft Defender for Cloud", "dc"},
	sentinel:      {"microsoftSentinel", "scheduledAlerts", "Microsoft Sentinel", "sn"},
	insiderRisk:   {"microsoftInsiderRiskManagement", "microsoftInsiderRiskManagement", "Microsoft Purview Insider Risk Management", "ir"},
	customRule:    {"microsoftDefenderForEndpoint", "customDetection", "Microsoft Defender XDR", "ea"},
}

// A story is a kind of incident: how often it happens, how many alerts it
// gathers and which.
type story struct {
	weight     int
	name       string // of the incident; {title} is the first alert's title
	low, high  int    // number of alerts
	detections []string
	ordered    bool // alerts follow the list, as an attack does
	judgement  [2]string
	tags       []string
	family     string // what the malware's name begins with; "" is anything but unwanted software
}

var stories = []story{
	{8, "Multi-stage incident involving Execution & Lateral movement on multiple endpoints reported by multiple sources", 6, 14,
		[]string{"macro", "encoded", "download", "discovery", "lsass", "c2", "wmi", "psexec", "task", "tamper", "service", "human"},
		true, [2]string{"truePositive", "multiStagedAttack"}, []string{"Hands-on keyboard"}, ""},
	{4, "Ransomware deployed by hands-on attack on multiple devices", 9, 18,
		[]string{"c2", "lsass", "dcsync", "discovery", "psexec", "tamper", "rclone", "shadow", "recovery", "encrypt", "human", "av"},
		true, [2]string{"truePositive", "multiStagedAttack"}, []string{"Ransomware", "Critical"}, "Ransom"},
	{10, "Multi-stage incident involving Initial access & Credential access involving one user", 3, 8,
		[]string{"click", "aitm", "token", "travel", "inboxrule", "forward", "sending", "oauthcred"},
		true, [2]string{"truePositive", "compromisedAccount"}, []string{"AiTM"}, ""},
	{14, "{title} involving multiple users", 2, 6,
		[]string{"zapurl", "zapfile", "click", "reported", "zapurl"},
		false, [2]string{"truePositive", "phishing"}, []string{"Phishing campaign"}, ""},
	{14, "{title}", 1, 2, []string{"reported", "reported", "submission"},
		true, [2]string{"falsePositive", "notMalicious"}, nil, ""},
	{9, "Business email compromise: {title}", 2, 6,
		[]string{"inboxrule", "forward", "sending", "restricted", "impossible", "unfamiliar"},
		false, [2]string{"truePositive", "compromisedAccount"}, []string{"BEC"}, ""},
	{10, "{title} involving one user", 1, 4,
		[]string{"impossible", "travel", "unfamiliar", "anonymous", "unfamiliar"},
		false, [2]string{"informationalExpectedActivity", "confirmedActivity"}, nil, ""},
	{6, "{title} on one endpoint", 3, 7,
		[]string{"bruteforce", "enumeration", "overpass", "groups", "dcsync"},
		true, [2]string{"truePositive", "maliciousUserActivity"}, []string{"Identity"}, ""},
	{14, "{title} on one endpoint", 1, 5,
		[]string{"av", "avactive", "runkey", "stealer", "usb", "download"},
		false, [2]string{"truePositive", "malware"}, nil, ""},
	{8, "{title} on one endpoint", 1, 2, []string{"pua", "pua"},
		false, [2]string{"truePositive", "unwantedSoftware"}, nil, "PUA"},
	{7, "Multi-stage incident involving Persistence & Command and control on one endpoint", 4, 9,
		[]string{"webshell", "discovery", "encoded", "c2", "service", "lsass", "miner"},
		true, [2]string{"truePositive", "multiStagedAttack"}, []string{"Internet facing"}, ""},
	{7, "Exfiltration incident involving one user", 2, 6,
		[]string{"download365", "dlpmail", "departing", "rclone", "dlpendpoint"},
		false, [2]string{"truePositive", "maliciousUserActivity"}, []string{"Insider risk", "HR informed"}, ""},
	{5, "{title} involving one app", 2, 5,
		[]string{"consent", "oauthcred", "appread", "download365"},
		true, [2]string{"truePositive", "maliciousUserActivity"}, []string{"OAuth"}, ""},
	{6, "{title} in Azure", 2, 6,
		[]string{"vmauth", "pod", "storage", "miner"},
		false, [2]string{"informationalExpectedActivity", "lineOfBusinessApplication"}, []string{"Cloud"}, ""},
	{6, "{title}", 1, 3, []string{"sprayed", "consent", "sprayed"},
		false, [2]string{"falsePositive", "notEnoughDataToValidate"}, nil, ""},
	{7, "{title} on multiple endpoints", 1, 5, []string{"custom", "custom", "encoded", "task"},
		false, [2]string{"informationalExpectedActivity", "securityTesting"}, []string{"Red team"}, ""},
	{3, "Email and collaboration: {title}", 1, 3, []string{"teams", "click", "reported"},
		false, [2]string{"truePositive", "phishing"}, nil, ""},
	{3, "Manually opened: follow-up of a threat hunt", 0, 0, nil,
		true, [2]string{"falsePositive", "other"}, []string{"Threat hunting"}, ""},
}
