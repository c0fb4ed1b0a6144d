package store

import "time"

// The row types below are what one page of the source becomes. Each field's db
// tag is its column; a nil pointer, slice or []byte is NULL; a []byte is jsonb.
// Their makers pass every text through CleanText and every document through
// CleanJSON, because PostgreSQL refuses U+0000.

// Incident is one row of defender.incidents with its comments. Text columns hold
// the Graph vocabulary whichever dialect served them.
type Incident struct {
	TenantID           string     `db:"tenant_id"`
	IncidentID         int64      `db:"incident_id"`
	RedirectIncidentID *int64     `db:"redirect_incident_id"`
	DisplayName        *string    `db:"display_name"`
	Description        *string    `db:"description"`
	Summary            *string    `db:"summary"`
	Status             *string    `db:"status"`
	Severity           *string    `db:"severity"`
	Classification     *string    `db:"classification"`
	Determination      *string    `db:"determination"`
	AssignedTo         *string    `db:"assigned_to"`
	CustomTags         []string   `db:"custom_tags"`
	SystemTags         []string   `db:"system_tags"`
	Comments           []byte     `db:"comments"`
	CreatedDateTime    *time.Time `db:"created_date_time"`
	LastUpdateDateTime time.Time  `db:"last_update_date_time"`
	LastModifiedBy     *string    `db:"last_modified_by"`
	TenantID2          *string    `db:"tenant_id_2"` // the record's own tenantId, after ours
	ResolvingComment   *string    `db:"resolving_comment"`
	PriorityScore      *int32     `db:"priority_score"`
	IncidentWebURL     *string    `db:"incident_web_url"`
	Raw                []byte     `db:"raw"`
	ContentHash        [16]byte   `db:"content_hash"`
	SyncedAt           time.Time  `db:"synced_at"`

	Served      []byte    // the record's bytes as served, for the quarantine should PostgreSQL refuse it
	CommentRows []Comment // replaces the stored set when the incident is written
}

// Alert is one row of defender.alerts with its evidence. Its MitreTechniques
// become the rows of defender.alert_techniques.
type Alert struct {
	TenantID              string     `db:"tenant_id"`
	AlertID               string     `db:"alert_id"`
	IncidentID            *int64     `db:"incident_id"`
	ProviderAlertID       *string    `db:"provider_alert_id"`
	Title                 *string    `db:"title"`
	Description           *string    `db:"description"`
	RecommendedActions    *string    `db:"recommended_actions"`
	Category              *string    `db:"category"`
	Categories            []string   `db:"categories"`
	Status                *string    `db:"status"`
	Severity              *string    `db:"severity"`
	Classification        *string    `db:"classification"`
	Determination         *string    `db:"determination"`
	InvestigationState    *string    `db:"investigation_state"`
	ServiceSource         *string    `db:"service_source"`
	DetectionSource       *string    `db:"detection_source"`
	DetectorID            *string    `db:"detector_id"`
	ProductName           *string    `db:"product_name"`
	AlertPolicyID         *string    `db:"alert_policy_id"`
	TenantID2             *string    `db:"tenant_id_2"` // the record's own tenantId, after ours
	AssignedTo            *string    `db:"assigned_to"`
	ActorDisplayName      *string    `db:"actor_display_name"`
	ThreatDisplayName     *string    `db:"threat_display_name"`
	ThreatFamilyName      *string    `db:"threat_family_name"`
	MitreTechniques       []string   `db:"mitre_techniques"`
	SystemTags            []string   `db:"system_tags"`
	Comments              []byte     `db:"comments"`
	AdditionalData        []byte     `db:"additional_data"`
	CustomDetails         []byte     `db:"custom_details"`
	CreatedDateTime       *time.Time `db:"created_date_time"`
	LastUpdateDateTime    time.Time  `db:"last_update_date_time"`
	ResolvedDateTime      *time.Time `db:"resolved_date_time"`
	FirstActivityDateTime *time.Time `db:"first_activity_date_time"`
	LastActivityDateTime  *time.Time `db:"last_activity_date_time"`
	AlertWebURL           *string    `db:"alert_web_url"`
	IncidentWebURL        *string    `db:"incident_web_url"`
	Raw                   []byte     `db:"raw"`
	ContentHash           [16]byte   `db:"content_hash"`
	SyncedAt              time.Time  `db:"synced_at"`

	Served   []byte     // the record's bytes as served, for the quarantine should PostgreSQL refuse it
	Evidence []Evidence // replaces the stored set when the alert is written
}

// Evidence is one row of defender.alert_evidence. EvidenceNo counts from 1 in
// the order served.
type Evidence struct {
	TenantID                      string     `db:"tenant_id"`
	AlertID                       string     `db:"alert_id"`
	EvidenceNo                    int32      `db:"evidence_no"`
	EvidenceType                  string     `db:"evidence_type"`
	CreatedDateTime               *time.Time `db:"created_date_time"`
	Verdict                       *string    `db:"verdict"`
	RemediationStatus             *string    `db:"remediation_status"`
	RemediationStatusDetails      *string    `db:"remediation_status_details"`
	Roles                         []string   `db:"roles"`
	DetailedRoles                 []string   `db:"detailed_roles"`
	Tags                          []string   `db:"tags"`
	DisplayName                   *string    `db:"display_name"`
	HostName                      *string    `db:"host_name"`
	DeviceDNSName                 *string    `db:"device_dns_name"`
	MDEDeviceID                   *string    `db:"mde_device_id"`
	AzureADDeviceID               *string    `db:"azure_ad_device_id"`
	OSPlatform                    *string    `db:"os_platform"`
	OSBuild                       *int64     `db:"os_build"`
	Version                       *string    `db:"version"`
	HealthStatus                  *string    `db:"health_status"`
	RiskScore                     *string    `db:"risk_score"`
	OnboardingStatus              *string    `db:"onboarding_status"`
	DefenderAVStatus              *string    `db:"defender_av_status"`
	RBACGroupName                 *string    `db:"rbac_group_name"`
	LastIPAddress                 *string    `db:"last_ip_address"`
	LastExternalIPAddress         *string    `db:"last_external_ip_address"`
	FirstSeenDateTime             *time.Time `db:"first_seen_date_time"`
	AccountName                   *string    `db:"account_name"`
	DomainName                    *string    `db:"domain_name"`
	UserSID                       *string    `db:"user_sid"`
	AzureADUserID                 *string    `db:"azure_ad_user_id"`
	UserPrincipalName             *string    `db:"user_principal_name"`
	FileName                      *string    `db:"file_name"`
	FilePath                      *string    `db:"file_path"`
	FileSize                      *int64     `db:"file_size"`
	SHA1                          *string    `db:"sha1"`
	SHA256                        *string    `db:"sha256"`
	MD5                           *string    `db:"md5"`
	DetectionStatus               *string    `db:"detection_status"`
	ProcessID                     *int64     `db:"process_id"`
	ProcessCommandLine            *string    `db:"process_command_line"`
	ProcessCreationDateTime       *time.Time `db:"process_creation_date_time"`
	ParentProcessID               *int64     `db:"parent_process_id"`
	ParentProcessCreationDateTime *time.Time `db:"parent_process_creation_date_time"`
	ParentProcessFileName         *string    `db:"parent_process_file_name"`
	ParentProcessFilePath         *string    `db:"parent_process_file_path"`
	IPAddress                     *string    `db:"ip_address"`
	CountryLetterCode             *string    `db:"country_letter_code"`
	URL                           *string    `db:"url"`
	PrimaryAddress                *string    `db:"primary_address"`
	NetworkMessageID              *string    `db:"network_message_id"`
	InternetMessageID             *string    `db:"internet_message_id"`
	Subject                       *string    `db:"subject"`
	SenderAddress                 *string    `db:"sender_address"`
	SenderIP                      *string    `db:"sender_ip"`
	RecipientEmailAddress         *string    `db:"recipient_email_address"`
	ReceivedDateTime              *time.Time `db:"received_date_time"`
	DeliveryAction                *string    `db:"delivery_action"`
	DeliveryLocation              *string    `db:"delivery_location"`
	ClusterBy                     *string    `db:"cluster_by"`
	ClusterByValue                *string    `db:"cluster_by_value"`
	EmailCount                    *int64     `db:"email_count"`
	SecurityGroupID               *string    `db:"security_group_id"`
	RegistryHive                  *string    `db:"registry_hive"`
	RegistryKey                   *string    `db:"registry_key"`
	RegistryValueName             *string    `db:"registry_value_name"`
	RegistryValue                 *string    `db:"registry_value"`
	RegistryValueType             *string    `db:"registry_value_type"`
	AppID                         *string    `db:"app_id"`
	ObjectID                      *string    `db:"object_id"`
	ResourceID                    *string    `db:"resource_id"`
	ResourceName                  *string    `db:"resource_name"`
	ResourceType                  *string    `db:"resource_type"`
	Raw                           []byte     `db:"raw"`
}

// Comment is one row of defender.incident_comments. CommentNo counts from 1 in
// the order served.
type Comment struct {
	TenantID             string     `db:"tenant_id"`
	IncidentID           int64      `db:"incident_id"`
	CommentNo            int32      `db:"comment_no"`
	Comment              *string    `db:"comment"`
	CreatedByDisplayName *string    `db:"created_by_display_name"`
	CreatedDateTime      *time.Time `db:"created_date_time"`
}
