package sync

import (
	"strings"

	"defendersync/sync/defender"
)

// anyEvidence is what all evidence of Graph has.
var anyEvidence = columns("createdDateTime verdict remediationStatus remediationStatusDetails roles detailedRoles tags")

// Parts that several types of evidence have inside.
var (
	accountPart  = columns("accountName domainName userSid azureAdUserId userPrincipalName? displayName?")
	filePart     = columns("fileName filePath fileSize sha1 sha256 md5")
	parentPart   = columns("fileName:parent_process_file_name filePath:parent_process_file_path")
	ipPart       = columns("ipAddress countryLetterCode")
	resourcePart = columns("resourceId resourceName? resourceType")
	userPart     = shape[evidence]{"userAccount": within(accountPart)}
	devicePart   = columns("hostName deviceDnsName mdeDeviceId azureAdDeviceId osPlatform osBuild version healthStatus riskScore" +
		" onboardingStatus defenderAvStatus rbacGroupName lastIpAddress lastExternalIpAddress firstSeenDateTime")
)

// part is the shape of one property that holds an object.
func part(property string, inner shape[evidence]) shape[evidence] {
	return shape[evidence]{property: within(inner)}
}

// graphEvidence is every type of evidence of Graph by the last part of its
// @odata.type.
var graphEvidence = evidenceKinds(map[string]shape[evidence]{
	// Accounts, devices and what happens on them.
	"userEvidence":   userPart,
	"deviceEvidence": devicePart,
	"fileEvidence":   merged(columns("detectionStatus mdeDeviceId"), part("fileDetails", filePart)),
	"processEvidence": merged(columns("detectionStatus mdeDeviceId parentProcessCreationDateTime parentProcessId"+
		" processCommandLine processCreationDateTime processId"),
		part("imageFile", filePart), part("parentProcessImageFile", parentPart), userPart),
	"registryKeyEvidence":           columns("registryHive registryKey"),
	"registryValueEvidence":         columns("mdeDeviceId registryHive registryKey registryValue registryValueName registryValueType"),
	"securityGroupEvidence":         columns("securityGroupId displayName friendlyName:display_name?"),
	"activeDirectoryDomainEvidence": columns("activeDirectoryDomainName:domain_name"),
	"malwareEvidence":               columns("name:display_name"),
	"fileHashEvidence":              {"value": fileHash},
	"hostLogonSessionEvidence":      merged(part("account", userPart), part("host", devicePart)),
	"cloudLogonSessionEvidence":     merged(columns("deviceName:host_name operatingSystem:os_platform"), part("account", userPart)),
	"cloudLogonRequestEvidence":     {},

	// The network.
	"ipEvidence":  ipPart,
	"urlEvidence": columns("url"),
	"dnsEvidence": merged(columns("domainName"), part("hostIpAddress", ipPart)),
	// One address has room: the one that was talked to.
	"networkConnectionEvidence": part("destinationAddress", ipPart),
	"nicEvidence":               part("ipAddress", ipPart),
	"ioTDeviceEvidence": merged(columns("deviceName:host_name operatingSystem:os_platform"),
		part("ipAddress", ipPart), part("ioTHub", resourcePart)),

	// Mail and messages.
	"mailboxEvidence":              merged(columns("displayName primaryAddress upn:user_principal_name"), userPart),
	"mailboxConfigurationEvidence": columns("displayName mailboxPrimaryAddress:primary_address upn:user_principal_name"),
	"mailClusterEvidence":          columns("clusterBy clusterByValue emailCount"),
	"analyzedMessageEvidence": merged(columns("deliveryAction deliveryLocation internetMessageId networkMessageId"+
		" receivedDateTime recipientEmailAddress senderIp subject"),
		part("p2Sender", columns("emailAddress:sender_address")), part("p1Sender", columns("emailAddress:sender_address?"))),
	"submissionMailEvidence": columns("networkMessageId recipient:recipient_email_address sender:sender_address senderIp subject"),
	"teamsMessageEvidence": merged(columns("receivedDateTime senderFromAddress:sender_address senderIP subject"), shape[evidence]{
		"deliveryAction":   member(enumTeamsAction, evidenceTexts["delivery_action"]),
		"deliveryLocation": member(enumTeamsLocation, evidenceTexts["delivery_location"]),
	}),

	// Applications.
	"oauthApplicationEvidence": columns("appId displayName objectId"),
	"cloudApplicationEvidence": columns("appId displayName"),
	"servicePrincipalEvidence": columns("appId servicePrincipalName:display_name servicePrincipalObjectId:object_id"),
	"aiAgentEvidence":          columns("agentId:object_id agentName:display_name"),

	// Cloud resources.
	"azureResourceEvidence":       resourcePart,
	"amazonResourceEvidence":      columns("amazonResourceId:resource_id resourceName resourceType"),
	"googleCloudResourceEvidence": columns("fullResourceName:resource_id resourceName resourceType"),
	"blobContainerEvidence":       merged(columns("name:resource_name url"), part("storageResource", resourcePart)),
	"blobEvidence":                columns("name:resource_name url"),
	"sasTokenEvidence":            part("storageResource", resourcePart),
	"gitHubOrganizationEvidence":  columns("displayName login:account_name orgId:object_id webUrl:url"),
	"gitHubRepoEvidence":          columns("login:account_name repoId:object_id baseUrl:url"),
	"gitHubUserEvidence":          columns("name:display_name login:account_name userId:object_id webUrl:url email:primary_address"),

	// Containers.
	"containerEvidence":                columns("name:resource_name containerId:resource_id"),
	"containerImageEvidence":           columns("imageId:resource_id"),
	"containerRegistryEvidence":        columns("registry:resource_name"),
	"kubernetesClusterEvidence":        merged(columns("name:resource_name version"), part("cloudResource", resourcePart)),
	"kubernetesControllerEvidence":     columns("name:resource_name type:resource_type"),
	"kubernetesNamespaceEvidence":      columns("name:resource_name"),
	"kubernetesPodEvidence":            merged(columns("name:resource_name"), part("podIp", ipPart)),
	"kubernetesSecretEvidence":         columns("name:resource_name secretType:resource_type"),
	"kubernetesServiceAccountEvidence": columns("name:resource_name"),
	"kubernetesServiceEvidence":        merged(columns("name:resource_name serviceType:resource_type"), part("clusterIP", ipPart)),
})

// evidenceKinds names each type by the rule for columns, and adds to its shape
// what all evidence has.
func evidenceKinds(shapes map[string]shape[evidence]) map[string]evidenceKind {
	kinds := make(map[string]evidenceKind, len(shapes))
	for name, s := range shapes {
		kinds[name] = evidenceKind{snakeCase(strings.TrimSuffix(name, "Evidence")), merged(anyEvidence, s)}
	}
	return kinds
}

// evidenceNames are the values of evidence_type that are known.
var evidenceNames = func() map[string]bool {
	names := make(map[string]bool, len(graphEvidence))
	for _, kind := range graphEvidence {
		names[kind.name] = true
	}
	return names
}()

// olderEntities are the entityType values whose name is not Graph's, folded.
var olderEntities = map[string]string{
	"mailbox":     "mailbox",
	"mailmessage": "analyzed_message",
	"mailcluster": "mail_cluster",
}

// The older API's evidence. Newer answers of it have what olderAny lists.
var (
	olderAny = columns("evidenceCreationTime:created_date_time verdict remediationStatus remediationStatusDetails" +
		" detectionStatus roles detailedRoles tags")
	olderDevice = merged(olderAny, devicePart, columns("mdatpDeviceId:mde_device_id deviceId:mde_device_id? aadDeviceId:azure_ad_device_id"+
		" firstSeen:first_seen_date_time"))
	olderEntity = merged(olderAny, filePart, ipPart, columns("deviceId:mde_device_id"+
		" processId processCommandLine processCreationTime:process_creation_date_time"+
		" parentProcessId parentProcessCreationTime:parent_process_creation_date_time"+
		" parentProcessFileName parentProcessFilePath url"+
		" accountName domainName userSid aadUserId:azure_ad_user_id userPrincipalName"+
		" mailboxDisplayName:display_name mailboxAddress:primary_address"+
		" clusterBy clusterByValue emailCount networkMessageId internetMessageId"+
		" sender:sender_address senderIp recipient:recipient_email_address subject receivedDate:received_date_time"+
		" deliveryAction deliveryLocation securityGroupId securityGroupName:display_name?"+
		" registryHive registryKey registryValueName registryValue registryValueType"))
)

// fileHash puts a hash into the column of its algorithm.
func fileHash(x scope, row *evidence, o defender.Object, name string) {
	algorithm, _, _ := o.Text("algorithm")
	switch algorithm = strings.ToLower(algorithm); algorithm {
	case "sha1", "sha256", "md5":
		text(evidenceTexts[algorithm])(x, row, o, name)
	}
}
