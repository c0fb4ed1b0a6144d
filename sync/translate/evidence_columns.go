package translate

import (
	"strings"
	"time"

	"defendersync/store"
)

// evidence is short for the row type that the tables below are about.
type evidence = store.Evidence

// The columns of defender.alert_evidence by the type of their values.
var (
	evidenceTexts = map[string]func(*evidence) **string{
		"remediation_status_details": func(e *evidence) **string { return &e.RemediationStatusDetails },
		"display_name":               func(e *evidence) **string { return &e.DisplayName },
		"host_name":                  func(e *evidence) **string { return &e.HostName },
		"device_dns_name":            func(e *evidence) **string { return &e.DeviceDNSName },
		"mde_device_id":              func(e *evidence) **string { return &e.MDEDeviceID },
		"azure_ad_device_id":         func(e *evidence) **string { return &e.AzureADDeviceID },
		"os_platform":                func(e *evidence) **string { return &e.OSPlatform },
		"version":                    func(e *evidence) **string { return &e.Version },
		"rbac_group_name":            func(e *evidence) **string { return &e.RBACGroupName },
		"last_ip_address":            func(e *evidence) **string { return &e.LastIPAddress },
		"last_external_ip_address":   func(e *evidence) **string { return &e.LastExternalIPAddress },
		"account_name":               func(e *evidence) **string { return &e.AccountName },
		"domain_name":                func(e *evidence) **string { return &e.DomainName },
		"user_sid":                   func(e *evidence) **string { return &e.UserSID },
		"azure_ad_user_id":           func(e *evidence) **string { return &e.AzureADUserID },
		"user_principal_name":        func(e *evidence) **string { return &e.UserPrincipalName },
		"file_name":                  func(e *evidence) **string { return &e.FileName },
		"file_path":                  func(e *evidence) **string { return &e.FilePath },
		"sha1":                       func(e *evidence) **string { return &e.SHA1 },
		"sha256":                     func(e *evidence) **string { return &e.SHA256 },
		"md5":                        func(e *evidence) **string { return &e.MD5 },
		"process_command_line":       func(e *evidence) **string { return &e.ProcessCommandLine },
		"parent_process_file_name":   func(e *evidence) **string { return &e.ParentProcessFileName },
		"parent_process_file_path":   func(e *evidence) **string { return &e.ParentProcessFilePath },
		"ip_address":                 func(e *evidence) **string { return &e.IPAddress },
		"country_letter_code":        func(e *evidence) **string { return &e.CountryLetterCode },
		"url":                        func(e *evidence) **string { return &e.URL },
		"primary_address":            func(e *evidence) **string { return &e.PrimaryAddress },
		"network_message_id":         func(e *evidence) **string { return &e.NetworkMessageID },
		"internet_message_id":        func(e *evidence) **string { return &e.InternetMessageID },
		"subject":                    func(e *evidence) **string { return &e.Subject },
		"sender_address":             func(e *evidence) **string { return &e.SenderAddress },
		"sender_ip":                  func(e *evidence) **string { return &e.SenderIP },
		"recipient_email_address":    func(e *evidence) **string { return &e.RecipientEmailAddress },
		"delivery_action":            func(e *evidence) **string { return &e.DeliveryAction },
		"delivery_location":          func(e *evidence) **string { return &e.DeliveryLocation },
		"cluster_by":                 func(e *evidence) **string { return &e.ClusterBy },
		"cluster_by_value":           func(e *evidence) **string { return &e.ClusterByValue },
		"security_group_id":          func(e *evidence) **string { return &e.SecurityGroupID },
		"registry_hive":              func(e *evidence) **string { return &e.RegistryHive },
		"registry_key":               func(e *evidence) **string { return &e.RegistryKey },
		"registry_value_name":        func(e *evidence) **string { return &e.RegistryValueName },
		"registry_value":             func(e *evidence) **string { return &e.RegistryValue },
		"registry_value_type":        func(e *evidence) **string { return &e.RegistryValueType },
		"app_id":                     func(e *evidence) **string { return &e.AppID },
		"object_id":                  func(e *evidence) **string { return &e.ObjectID },
		"resource_id":                func(e *evidence) **string { return &e.ResourceID },
		"resource_name":              func(e *evidence) **string { return &e.ResourceName },
		"resource_type":              func(e *evidence) **string { return &e.ResourceType },
	}
	evidenceSetters = shape[evidence]{
		"created_date_time":  setInstant(func(e *evidence) **time.Time { return &e.CreatedDateTime }),
		"verdict":            setMember(enumVerdict, func(e *evidence) **string { return &e.Verdict }),
		"remediation_status": setMember(enumRemediationStatus, func(e *evidence) **string { return &e.RemediationStatus }),
		"roles":              setMembers(enumRole, func(e *evidence) *[]string { return &e.Roles }),
		"detailed_roles":     setTexts(func(e *evidence) *[]string { return &e.DetailedRoles }),
		"tags":               setTexts(func(e *evidence) *[]string { return &e.Tags }),

		"os_build":             setInteger(func(e *evidence) **int64 { return &e.OSBuild }),
		"health_status":        setMember(enumHealthStatus, func(e *evidence) **string { return &e.HealthStatus }),
		"risk_score":           setMember(enumRiskScore, func(e *evidence) **string { return &e.RiskScore }),
		"onboarding_status":    setMember(enumOnboardingStatus, func(e *evidence) **string { return &e.OnboardingStatus }),
		"defender_av_status":   setMember(enumDefenderAVStatus, func(e *evidence) **string { return &e.DefenderAVStatus }),
		"first_seen_date_time": setInstant(func(e *evidence) **time.Time { return &e.FirstSeenDateTime }),

		"file_size":                         setInteger(func(e *evidence) **int64 { return &e.FileSize }),
		"detection_status":                  setMember(enumDetectionStatus, func(e *evidence) **string { return &e.DetectionStatus }),
		"process_id":                        setInteger(func(e *evidence) **int64 { return &e.ProcessID }),
		"process_creation_date_time":        setInstant(func(e *evidence) **time.Time { return &e.ProcessCreationDateTime }),
		"parent_process_id":                 setInteger(func(e *evidence) **int64 { return &e.ParentProcessID }),
		"parent_process_creation_date_time": setInstant(func(e *evidence) **time.Time { return &e.ParentProcessCreationDateTime }),
		"received_date_time":                setInstant(func(e *evidence) **time.Time { return &e.ReceivedDateTime }),
		"email_count":                       setInteger(func(e *evidence) **int64 { return &e.EmailCount }),
	}
)

// evidenceColumns is the shape of properties and their columns, written with spaces
// between them as property:column, or as the property alone when its column has
// its name. A question mark after it gives another property first claim to the
// column. A column that does not exist is a mistake in this package: it panics.
func evidenceColumns(properties string) shape[evidence] {
	s := make(shape[evidence])
	for _, spec := range strings.Fields(properties) {
		spec, second := strings.CutSuffix(spec, "?")
		property, column, renamed := strings.Cut(spec, ":")
		if !renamed {
			column = store.SnakeCase(property)
		}
		set := evidenceSetters[column]
		switch accessor := evidenceTexts[column]; {
		case set == nil && accessor == nil:
			panic("no evidence column " + column)
		case set == nil && second:
			set = setTextElse(accessor)
		case set == nil:
			set = setLabel(accessor)
		}
		s[property] = set
	}
	return s
}
