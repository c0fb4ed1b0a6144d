-- +goose Up
CREATE TABLE defender.alert_evidence (
    tenant_id                         uuid NOT NULL,
    alert_id                          text NOT NULL,
    evidence_no                       integer NOT NULL,
    evidence_type                     text NOT NULL,
    created_date_time                 timestamptz,
    verdict                           text,
    remediation_status                text,
    remediation_status_details        text,
    roles                             text[],
    detailed_roles                    text[],
    tags                              text[],
    display_name                      text,
    host_name                         text,
    device_dns_name                   text,
    mde_device_id                     text,
    azure_ad_device_id                text,
    os_platform                       text,
    os_build                          bigint,
    version                           text,
    health_status                     text,
    risk_score                        text,
    onboarding_status                 text,
    defender_av_status                text,
    rbac_group_name                   text,
    last_ip_address                   text,
    last_external_ip_address          text,
    first_seen_date_time              timestamptz,
    account_name                      text,
    domain_name                       text,
    user_sid                          text,
    azure_ad_user_id                  text,
    user_principal_name               text,
    file_name                         text,
    file_path                         text,
    file_size                         bigint,
    sha1                              text,
    sha256                            text,
    md5                               text,
    detection_status                  text,
    process_id                        bigint,
    process_command_line              text,
    process_creation_date_time        timestamptz,
    parent_process_id                 bigint,
    parent_process_creation_date_time timestamptz,
    parent_process_file_name          text,
    parent_process_file_path          text,
    ip_address                        text,
    country_letter_code               text,
    url                               text,
    primary_address                   text,
    network_message_id                text,
    internet_message_id               text,
    subject                           text,
    sender_address                    text,
    sender_ip                         text,
    recipient_email_address           text,
    received_date_time                timestamptz,
    delivery_action                   text,
    delivery_location                 text,
    cluster_by                        text,
    cluster_by_value                  text,
    email_count                       bigint,
    security_group_id                 text,
    registry_hive                     text,
    registry_key                      text,
    registry_value_name               text,
    registry_value                    text,
    registry_value_type               text,
    app_id                            text,
    object_id                         text,
    resource_id                       text,
    resource_name                     text,
    resource_type                     text,
    raw                               jsonb NOT NULL,
    PRIMARY KEY (tenant_id, alert_id, evidence_no),
    CONSTRAINT alert_evidence_evidence_no_check CHECK (evidence_no >= 1)
);

-- In the order that 00002 explains.
CREATE INDEX alert_evidence_host_name_idx ON defender.alert_evidence (host_name, tenant_id)
    WHERE host_name IS NOT NULL;
CREATE INDEX alert_evidence_mde_device_id_idx ON defender.alert_evidence (mde_device_id, tenant_id)
    WHERE mde_device_id IS NOT NULL;
CREATE INDEX alert_evidence_user_principal_name_idx ON defender.alert_evidence (user_principal_name, tenant_id)
    WHERE user_principal_name IS NOT NULL;
CREATE INDEX alert_evidence_account_name_idx ON defender.alert_evidence (account_name, tenant_id)
    WHERE account_name IS NOT NULL;
CREATE INDEX alert_evidence_sha1_idx ON defender.alert_evidence (sha1, tenant_id)
    WHERE sha1 IS NOT NULL;
CREATE INDEX alert_evidence_sha256_idx ON defender.alert_evidence (sha256, tenant_id)
    WHERE sha256 IS NOT NULL;
CREATE INDEX alert_evidence_ip_address_idx ON defender.alert_evidence (ip_address, tenant_id)
    WHERE ip_address IS NOT NULL;

COMMENT ON TABLE defender.alert_evidence IS
    'Evidence of alerts, one row per piece, replaced as a set with its alert. A value too long for an index is in raw only.';
COMMENT ON COLUMN defender.alert_evidence.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.alert_evidence.alert_id IS 'The alert.';
COMMENT ON COLUMN defender.alert_evidence.evidence_no IS 'Position in the order served, from 1: the source gives evidence no id.';
COMMENT ON COLUMN defender.alert_evidence.evidence_type IS 'user, device, file, process, ip, url, mailbox and others. Graph: @odata.type without its prefix and the word Evidence. Older API: entityType; devices are device.';
COMMENT ON COLUMN defender.alert_evidence.created_date_time IS 'When it was added to the alert. Graph: createdDateTime. Older API: evidenceCreationTime.';
COMMENT ON COLUMN defender.alert_evidence.verdict IS 'malicious, suspicious, noThreatsFound or unknown. Graph: verdict. Older API: verdict.';
COMMENT ON COLUMN defender.alert_evidence.remediation_status IS 'none, remediated, prevented, blocked, notFound, active and others. Graph: remediationStatus. Older API: remediationStatus.';
COMMENT ON COLUMN defender.alert_evidence.remediation_status_details IS 'Details of the remediation status. Graph: remediationStatusDetails.';
COMMENT ON COLUMN defender.alert_evidence.roles IS 'Roles in the attack, such as source or compromised. Graph: roles.';
COMMENT ON COLUMN defender.alert_evidence.detailed_roles IS 'Roles in words. Graph: detailedRoles.';
COMMENT ON COLUMN defender.alert_evidence.tags IS 'Tags. Graph: tags. Older API: devices.tags.';
COMMENT ON COLUMN defender.alert_evidence.display_name IS 'Name shown for a mailbox, security group, application or user. Graph: displayName, userAccount.displayName. Older API: mailboxDisplayName, securityGroupName.';
COMMENT ON COLUMN defender.alert_evidence.host_name IS 'Host name without its domain. Graph: hostName. Older API, and Graph where hostName is empty: the first label of deviceDnsName.';
COMMENT ON COLUMN defender.alert_evidence.device_dns_name IS 'Fully qualified name of the device. Graph: deviceDnsName. Older API: devices.deviceDnsName.';
COMMENT ON COLUMN defender.alert_evidence.mde_device_id IS 'Defender for Endpoint id of the device. Graph: mdeDeviceId. Older API: devices.mdatpDeviceId, entities.deviceId.';
COMMENT ON COLUMN defender.alert_evidence.azure_ad_device_id IS 'Microsoft Entra id of the device. Graph: azureAdDeviceId. Older API: devices.aadDeviceId.';
COMMENT ON COLUMN defender.alert_evidence.os_platform IS 'Operating system. Graph: osPlatform. Older API: devices.osPlatform.';
COMMENT ON COLUMN defender.alert_evidence.os_build IS 'Build of the operating system. Graph: osBuild. Older API: devices.osBuild.';
COMMENT ON COLUMN defender.alert_evidence.version IS 'Version of the operating system. Graph: version. Older API: devices.version.';
COMMENT ON COLUMN defender.alert_evidence.health_status IS 'Health of the sensor. Graph: healthStatus. Older API: devices.healthStatus.';
COMMENT ON COLUMN defender.alert_evidence.risk_score IS 'Risk of the device. Graph: riskScore. Older API: devices.riskScore.';
COMMENT ON COLUMN defender.alert_evidence.onboarding_status IS 'Whether the device is onboarded. Graph: onboardingStatus. Older API: devices.onboardingStatus.';
COMMENT ON COLUMN defender.alert_evidence.defender_av_status IS 'State of Defender Antivirus. Graph: defenderAvStatus. Older API: devices.defenderAvStatus.';
COMMENT ON COLUMN defender.alert_evidence.rbac_group_name IS 'Device group. Graph: rbacGroupName. Older API: devices.rbacGroupName.';
COMMENT ON COLUMN defender.alert_evidence.last_ip_address IS 'Last internal address of the device. Graph: lastIpAddress.';
COMMENT ON COLUMN defender.alert_evidence.last_external_ip_address IS 'Last external address of the device. Graph: lastExternalIpAddress.';
COMMENT ON COLUMN defender.alert_evidence.first_seen_date_time IS 'When the device was first seen. Graph: firstSeenDateTime. Older API: devices.firstSeen.';
COMMENT ON COLUMN defender.alert_evidence.account_name IS 'Account without its domain. Graph: userAccount.accountName. Older API: accountName.';
COMMENT ON COLUMN defender.alert_evidence.domain_name IS 'Domain of the account. Graph: userAccount.domainName. Older API: domainName.';
COMMENT ON COLUMN defender.alert_evidence.user_sid IS 'Security identifier of the account. Graph: userAccount.userSid. Older API: userSid.';
COMMENT ON COLUMN defender.alert_evidence.azure_ad_user_id IS 'Microsoft Entra object id of the user. Graph: userAccount.azureAdUserId. Older API: aadUserId.';
COMMENT ON COLUMN defender.alert_evidence.user_principal_name IS 'User principal name. Graph: userAccount.userPrincipalName, upn. Older API: userPrincipalName.';
COMMENT ON COLUMN defender.alert_evidence.file_name IS 'Name of the file, or of the process''s image. Graph: fileDetails.fileName, imageFile.fileName. Older API: fileName.';
COMMENT ON COLUMN defender.alert_evidence.file_path IS 'Folder of the file. Graph: fileDetails.filePath, imageFile.filePath. Older API: filePath.';
COMMENT ON COLUMN defender.alert_evidence.file_size IS 'Size in bytes. Graph: fileDetails.fileSize, imageFile.fileSize.';
COMMENT ON COLUMN defender.alert_evidence.sha1 IS 'SHA-1 of the file. Graph: fileDetails.sha1, imageFile.sha1. Older API: sha1.';
COMMENT ON COLUMN defender.alert_evidence.sha256 IS 'SHA-256 of the file; often empty where sha1 is not. Graph: fileDetails.sha256, imageFile.sha256. Older API: sha256.';
COMMENT ON COLUMN defender.alert_evidence.md5 IS 'MD5 of the file. Graph: fileDetails.md5, imageFile.md5.';
COMMENT ON COLUMN defender.alert_evidence.detection_status IS 'detected, blocked or prevented. Graph: detectionStatus.';
COMMENT ON COLUMN defender.alert_evidence.process_id IS 'Process id. Graph: processId. Older API: processId.';
COMMENT ON COLUMN defender.alert_evidence.process_command_line IS 'Command line. Graph: processCommandLine. Older API: processCommandLine.';
COMMENT ON COLUMN defender.alert_evidence.process_creation_date_time IS 'When the process started. Graph: processCreationDateTime. Older API: processCreationTime.';
COMMENT ON COLUMN defender.alert_evidence.parent_process_id IS 'Process id of the parent. Graph: parentProcessId. Older API: parentProcessId.';
COMMENT ON COLUMN defender.alert_evidence.parent_process_creation_date_time IS 'When the parent started. Graph: parentProcessCreationDateTime. Older API: parentProcessCreationTime.';
COMMENT ON COLUMN defender.alert_evidence.parent_process_file_name IS 'Name of the parent''s image. Graph: parentProcessImageFile.fileName.';
COMMENT ON COLUMN defender.alert_evidence.parent_process_file_path IS 'Folder of the parent''s image. Graph: parentProcessImageFile.filePath.';
COMMENT ON COLUMN defender.alert_evidence.ip_address IS 'IP address, as served. Graph: ipAddress. Older API: ipAddress.';
COMMENT ON COLUMN defender.alert_evidence.country_letter_code IS 'Country of the address. Graph: countryLetterCode.';
COMMENT ON COLUMN defender.alert_evidence.url IS 'URL. Graph: url. Older API: url.';
COMMENT ON COLUMN defender.alert_evidence.primary_address IS 'Primary address of the mailbox. Graph: primaryAddress. Older API: mailboxAddress.';
COMMENT ON COLUMN defender.alert_evidence.network_message_id IS 'Network message id of the e-mail. Graph: networkMessageId.';
COMMENT ON COLUMN defender.alert_evidence.internet_message_id IS 'Internet message id of the e-mail. Graph: internetMessageId.';
COMMENT ON COLUMN defender.alert_evidence.subject IS 'Subject of the e-mail. Graph: subject. Older API: subject.';
COMMENT ON COLUMN defender.alert_evidence.sender_address IS 'Sender of the e-mail. Graph: p2Sender.emailAddress, p1Sender.emailAddress, sender. Older API: sender.';
COMMENT ON COLUMN defender.alert_evidence.sender_ip IS 'Address the e-mail came from. Graph: senderIp.';
COMMENT ON COLUMN defender.alert_evidence.recipient_email_address IS 'Recipient of the e-mail. Graph: recipientEmailAddress, recipient. Older API: recipient.';
COMMENT ON COLUMN defender.alert_evidence.received_date_time IS 'When the e-mail was received. Graph: receivedDateTime.';
COMMENT ON COLUMN defender.alert_evidence.delivery_action IS 'What was done with the e-mail. Graph: deliveryAction. Older API: deliveryAction.';
COMMENT ON COLUMN defender.alert_evidence.delivery_location IS 'Where the e-mail was put. Graph: deliveryLocation.';
COMMENT ON COLUMN defender.alert_evidence.cluster_by IS 'What the e-mails of the cluster have in common. Graph: clusterBy. Older API: clusterBy.';
COMMENT ON COLUMN defender.alert_evidence.cluster_by_value IS 'Its value. Graph: clusterByValue.';
COMMENT ON COLUMN defender.alert_evidence.email_count IS 'E-mails in the cluster. Graph: emailCount.';
COMMENT ON COLUMN defender.alert_evidence.security_group_id IS 'Security group. Graph: securityGroupId. Older API: securityGroupId.';
COMMENT ON COLUMN defender.alert_evidence.registry_hive IS 'Registry hive. Graph: registryHive. Older API: registryHive.';
COMMENT ON COLUMN defender.alert_evidence.registry_key IS 'Registry key. Graph: registryKey. Older API: registryKey.';
COMMENT ON COLUMN defender.alert_evidence.registry_value_name IS 'Name of the registry value. Graph: registryValueName.';
COMMENT ON COLUMN defender.alert_evidence.registry_value IS 'Registry value. Graph: registryValue. Older API: registryValue.';
COMMENT ON COLUMN defender.alert_evidence.registry_value_type IS 'Type of the registry value. Graph: registryValueType. Older API: registryValueType.';
COMMENT ON COLUMN defender.alert_evidence.app_id IS 'Application. Graph: appId.';
COMMENT ON COLUMN defender.alert_evidence.object_id IS 'Object id of the application or service principal. Graph: objectId, servicePrincipalObjectId.';
COMMENT ON COLUMN defender.alert_evidence.resource_id IS 'Cloud resource. Graph: resourceId, amazonResourceId, fullResourceName.';
COMMENT ON COLUMN defender.alert_evidence.resource_name IS 'Name of the cloud resource. Graph: resourceName.';
COMMENT ON COLUMN defender.alert_evidence.resource_type IS 'Type of the cloud resource. Graph: resourceType.';
COMMENT ON COLUMN defender.alert_evidence.raw IS 'The evidence as served.';

-- +goose Down
DROP TABLE defender.alert_evidence;
