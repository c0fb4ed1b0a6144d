package translate

import (
	"strings"

	"defendersync/store"
	"defendersync/sync/defender"
)

// anyEvidence is what all evidence of Graph has.
var anyEvidence = evidenceColumns("createdDateTime verdict remediationStatus remediationStatusDetails roles detailedRoles tags")

// Parts that several types of evidence have inside.
var (
	accountPart  = evidenceColumns("accountName domainName userSid azureAdUserId userPrincipalName? displayName?")
	filePart     = evidenceColumns("fileName filePath fileSize sha1 sha256 md5")
	parentPart   = evidenceColumns("fileName:parent_process_file_name filePath:parent_process_file_path")
	ipPart       = evidenceColumns("ipAddress countryLetterCode")
	resourcePart = evidenceColumns("resourceId resourceName? resourceType")
	userPart     = shape[evidence]{"userAccount": setWithin(accountPart)}
	devicePart   = mergedShapes(hostPart, evidenceColumns("mdeDeviceId azureAdDeviceId osPlatform osBuild version healthStatus riskScore"+
		" onboardingStatus defenderAvStatus rbacGroupName lastIpAddress lastExternalIpAddress firstSeenDateTime"))
)

// evidencePart is the shape of one property that holds an object.
func evidencePart(property string, inner shape[evidence]) shape[evidence] {
	return shape[evidence]{property: setWithin(inner)}
}

// graphEvidence is every type of evidence of Graph by the last part of its
// @odata.type.
var graphEvidence = evidenceKinds(map[string]shape[evidence]{
	// Accounts, devices and what happens on them.
	"userEvidence":   userPart,
	"deviceEvidence": devicePart,
	"fileEvidence":   mergedShapes(evidenceColumns("detectionStatus mdeDeviceId"), evidencePart("fileDetails", filePart)),
	"processEvidence": mergedShapes(evidenceColumns("detectionStatus mdeDeviceId parentProcessCreationDateTime parentProcessId"+
		" processCommandLine processCreationDateTime processId"),
		evidencePart("imageFile", filePart), evidencePart("parentProcessImageFile", parentPart), userPart),
	"registryKeyEvidence":           evidenceColumns("registryHive registryKey"),
	"registryValueEvidence":         evidenceColumns("mdeDeviceId registryHive registryKey registryValue registryValueName registryValueType"),
	"securityGroupEvidence":         evidenceColumns("securityGroupId displayName friendlyName:display_name?"),
	"activeDirectoryDomainEvidence": evidenceColumns("activeDirectoryDomainName:domain_name"),
	"malwareEvidence":               evidenceColumns("name:display_name"),
	"fileHashEvidence":              {"value": fileHash},
	"hostLogonSessionEvidence":      mergedShapes(evidencePart("account", userPart), evidencePart("host", devicePart)),
	"cloudLogonSessionEvidence":     mergedShapes(evidenceColumns("deviceName:host_name operatingSystem:os_platform"), evidencePart("account", userPart)),
	"cloudLogonRequestEvidence":     {},

	// The network.
	"ipEvidence":  ipPart,
	"urlEvidence": evidenceColumns("url"),
	"dnsEvidence": mergedShapes(evidenceColumns("domainName"), evidencePart("hostIpAddress", ipPart)),
	// One address has room: the one that was talked to.
	"networkConnectionEvidence": evidencePart("destinationAddress", ipPart),
	"nicEvidence":               evidencePart("ipAddress", ipPart),
	"ioTDeviceEvidence": mergedShapes(evidenceColumns("deviceName:host_name operatingSystem:os_platform"),
		evidencePart("ipAddress", ipPart), evidencePart("ioTHub", resourcePart)),

	// Mail and messages.
	"mailboxEvidence":              mergedShapes(evidenceColumns("displayName primaryAddress upn:user_principal_name"), userPart),
	"mailboxConfigurationEvidence": evidenceColumns("displayName mailboxPrimaryAddress:primary_address upn:user_principal_name"),
	"mailClusterEvidence":          evidenceColumns("clusterBy clusterByValue emailCount"),
	"analyzedMessageEvidence": mergedShapes(evidenceColumns("deliveryAction deliveryLocation internetMessageId networkMessageId"+
		" receivedDateTime recipientEmailAddress senderIp subject"),
		evidencePart("p2Sender", evidenceColumns("emailAddress:sender_address")), evidencePart("p1Sender", evidenceColumns("emailAddress:sender_address?"))),
	"submissionMailEvidence": evidenceColumns("networkMessageId recipient:recipient_email_address sender:sender_address senderIp subject"),
	"teamsMessageEvidence": mergedShapes(evidenceColumns("receivedDateTime senderFromAddress:sender_address senderIP subject"), shape[evidence]{
		"deliveryAction":   setMember(enumTeamsAction, evidenceTexts["delivery_action"]),
		"deliveryLocation": setMember(enumTeamsLocation, evidenceTexts["delivery_location"]),
	}),

	// Applications.
	"oauthApplicationEvidence": evidenceColumns("appId displayName objectId"),
	"cloudApplicationEvidence": evidenceColumns("appId displayName"),
	"servicePrincipalEvidence": evidenceColumns("appId servicePrincipalName:display_name servicePrincipalObjectId:object_id"),
	"aiAgentEvidence":          evidenceColumns("agentId:object_id agentName:display_name"),

	// Cloud resources.
	"azureResourceEvidence":       resourcePart,
	"amazonResourceEvidence":      evidenceColumns("amazonResourceId:resource_id resourceName resourceType"),
	"googleCloudResourceEvidence": evidenceColumns("fullResourceName:resource_id resourceName resourceType"),
	"blobContainerEvidence":       mergedShapes(evidenceColumns("name:resource_name url"), evidencePart("storageResource", resourcePart)),
	"blobEvidence":                evidenceColumns("name:resource_name url"),
	"sasTokenEvidence":            evidencePart("storageResource", resourcePart),
	"gitHubOrganizationEvidence":  evidenceColumns("displayName login:account_name orgId:object_id webUrl:url"),
	"gitHubRepoEvidence":          evidenceColumns("login:account_name repoId:object_id baseUrl:url"),
	"gitHubUserEvidence":          evidenceColumns("name:display_name login:account_name userId:object_id webUrl:url email:primary_address"),

	// Containers.
	"containerEvidence":                evidenceColumns("name:resource_name containerId:resource_id"),
	"containerImageEvidence":           evidenceColumns("imageId:resource_id"),
	"containerRegistryEvidence":        evidenceColumns("registry:resource_name"),
	"kubernetesClusterEvidence":        mergedShapes(evidenceColumns("name:resource_name version"), evidencePart("cloudResource", resourcePart)),
	"kubernetesControllerEvidence":     evidenceColumns("name:resource_name type:resource_type"),
	"kubernetesNamespaceEvidence":      evidenceColumns("name:resource_name"),
	"kubernetesPodEvidence":            mergedShapes(evidenceColumns("name:resource_name"), evidencePart("podIp", ipPart)),
	"kubernetesSecretEvidence":         evidenceColumns("name:resource_name secretType:resource_type"),
	"kubernetesServiceAccountEvidence": evidenceColumns("name:resource_name"),
	"kubernetesServiceEvidence":        mergedShapes(evidenceColumns("name:resource_name serviceType:resource_type"), evidencePart("clusterIP", ipPart)),
})

// evidenceKinds names each type by the rule for columns, and adds to its shape
// what all evidence has.
func evidenceKinds(shapes map[string]shape[evidence]) map[string]evidenceKind {
	kinds := make(map[string]evidenceKind, len(shapes))
	for name, s := range shapes {
		kinds[name] = evidenceKind{store.SnakeCase(strings.TrimSuffix(name, "Evidence")), mergedShapes(anyEvidence, s)}
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
	olderAny = evidenceColumns("evidenceCreationTime:created_date_time verdict remediationStatus remediationStatusDetails" +
		" detectionStatus roles detailedRoles tags")
	olderDevice = mergedShapes(olderAny, devicePart, evidenceColumns("mdatpDeviceId:mde_device_id deviceId:mde_device_id? aadDeviceId:azure_ad_device_id"+
		" firstSeen:first_seen_date_time"))
	olderEntity = mergedShapes(olderAny, filePart, ipPart, evidenceColumns("deviceId:mde_device_id"+
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
		setText(evidenceTexts[algorithm])(x, row, o, name)
	}
}
