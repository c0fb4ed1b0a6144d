package store

import "github.com/jackc/pgx/v5"

// queueEvidence replaces the evidence of the rows as a set, and writes those
// pieces only that differ: an alert with hundreds of them changes its status
// for the price of one row.
func (p *alertPage) queueEvidence(b *pgx.Batch) {
	const surplus = `
		DELETE FROM defender.alert_evidence AS e
		USING unnest($1::uuid[], $2::text[], $3::bigint[]) AS k (tenant_id, alert_id, number)
		WHERE e.tenant_id = k.tenant_id AND e.alert_id = k.alert_id AND e.evidence_no > k.number`
	const upsert = `
		INSERT INTO defender.alert_evidence AS e (
			tenant_id, alert_id, evidence_no, evidence_type, created_date_time, verdict, remediation_status,
			remediation_status_details, roles, detailed_roles, tags, display_name, host_name, device_dns_name, mde_device_id,
			azure_ad_device_id, os_platform, os_build, version, health_status, risk_score, onboarding_status,
			defender_av_status, rbac_group_name, last_ip_address, last_external_ip_address, first_seen_date_time, account_name,
			domain_name, user_sid, azure_ad_user_id, user_principal_name, file_name, file_path, file_size, sha1, sha256, md5,
			detection_status, process_id, process_command_line, process_creation_date_time, parent_process_id,
			parent_process_creation_date_time, parent_process_file_name, parent_process_file_path, ip_address,
			country_letter_code, url, primary_address, network_message_id, internet_message_id, subject, sender_address,
			sender_ip, recipient_email_address, received_date_time, delivery_action, delivery_location, cluster_by,
			cluster_by_value, email_count, security_group_id, registry_hive, registry_key, registry_value_name, registry_value,
			registry_value_type, app_id, object_id, resource_id, resource_name, resource_type, raw
		)
		SELECT
			x.tenant_id, x.alert_id, x.evidence_no, x.evidence_type, x.created_date_time, x.verdict, x.remediation_status,
			x.remediation_status_details, x.roles::text[], x.detailed_roles::text[], x.tags::text[], x.display_name,
			x.host_name, x.device_dns_name, x.mde_device_id, x.azure_ad_device_id, x.os_platform, x.os_build, x.version,
			x.health_status, x.risk_score, x.onboarding_status, x.defender_av_status, x.rbac_group_name, x.last_ip_address,
			x.last_external_ip_address, x.first_seen_date_time, x.account_name, x.domain_name, x.user_sid, x.azure_ad_user_id,
			x.user_principal_name, x.file_name, x.file_path, x.file_size, x.sha1, x.sha256, x.md5, x.detection_status,
			x.process_id, x.process_command_line, x.process_creation_date_time, x.parent_process_id,
			x.parent_process_creation_date_time, x.parent_process_file_name, x.parent_process_file_path, x.ip_address,
			x.country_letter_code, x.url, x.primary_address, x.network_message_id, x.internet_message_id, x.subject,
			x.sender_address, x.sender_ip, x.recipient_email_address, x.received_date_time, x.delivery_action,
			x.delivery_location, x.cluster_by, x.cluster_by_value, x.email_count, x.security_group_id, x.registry_hive,
			x.registry_key, x.registry_value_name, x.registry_value, x.registry_value_type, x.app_id, x.object_id,
			x.resource_id, x.resource_name, x.resource_type, x.raw::jsonb
		FROM unnest(
			$1::uuid[], $2::text[], $3::integer[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[],
			$9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
			$18::bigint[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[],
			$26::text[], $27::timestamptz[], $28::text[], $29::text[], $30::text[], $31::text[], $32::text[], $33::text[],
			$34::text[], $35::bigint[], $36::text[], $37::text[], $38::text[], $39::text[], $40::bigint[], $41::text[],
			$42::timestamptz[], $43::bigint[], $44::timestamptz[], $45::text[], $46::text[], $47::text[], $48::text[],
			$49::text[], $50::text[], $51::text[], $52::text[], $53::text[], $54::text[], $55::text[], $56::text[],
			$57::timestamptz[], $58::text[], $59::text[], $60::text[], $61::text[], $62::bigint[], $63::text[], $64::text[],
			$65::text[], $66::text[], $67::text[], $68::text[], $69::text[], $70::text[], $71::text[], $72::text[],
			$73::text[], $74::text[]
		) AS x (
			tenant_id, alert_id, evidence_no, evidence_type, created_date_time, verdict, remediation_status,
			remediation_status_details, roles, detailed_roles, tags, display_name, host_name, device_dns_name, mde_device_id,
			azure_ad_device_id, os_platform, os_build, version, health_status, risk_score, onboarding_status,
			defender_av_status, rbac_group_name, last_ip_address, last_external_ip_address, first_seen_date_time, account_name,
			domain_name, user_sid, azure_ad_user_id, user_principal_name, file_name, file_path, file_size, sha1, sha256, md5,
			detection_status, process_id, process_command_line, process_creation_date_time, parent_process_id,
			parent_process_creation_date_time, parent_process_file_name, parent_process_file_path, ip_address,
			country_letter_code, url, primary_address, network_message_id, internet_message_id, subject, sender_address,
			sender_ip, recipient_email_address, received_date_time, delivery_action, delivery_location, cluster_by,
			cluster_by_value, email_count, security_group_id, registry_hive, registry_key, registry_value_name, registry_value,
			registry_value_type, app_id, object_id, resource_id, resource_name, resource_type, raw
		)
		ON CONFLICT (tenant_id, alert_id, evidence_no) DO UPDATE SET
			evidence_type = excluded.evidence_type, created_date_time = excluded.created_date_time, verdict = excluded.verdict,
			remediation_status = excluded.remediation_status, remediation_status_details = excluded.remediation_status_details,
			roles = excluded.roles, detailed_roles = excluded.detailed_roles, tags = excluded.tags,
			display_name = excluded.display_name, host_name = excluded.host_name, device_dns_name = excluded.device_dns_name,
			mde_device_id = excluded.mde_device_id, azure_ad_device_id = excluded.azure_ad_device_id,
			os_platform = excluded.os_platform, os_build = excluded.os_build, version = excluded.version,
			health_status = excluded.health_status, risk_score = excluded.risk_score,
			onboarding_status = excluded.onboarding_status, defender_av_status = excluded.defender_av_status,
			rbac_group_name = excluded.rbac_group_name, last_ip_address = excluded.last_ip_address,
			last_external_ip_address = excluded.last_external_ip_address, first_seen_date_time = excluded.first_seen_date_time,
			account_name = excluded.account_name, domain_name = excluded.domain_name, user_sid = excluded.user_sid,
			azure_ad_user_id = excluded.azure_ad_user_id, user_principal_name = excluded.user_principal_name,
			file_name = excluded.file_name, file_path = excluded.file_path, file_size = excluded.file_size,
			sha1 = excluded.sha1, sha256 = excluded.sha256, md5 = excluded.md5, detection_status = excluded.detection_status,
			process_id = excluded.process_id, process_command_line = excluded.process_command_line,
			process_creation_date_time = excluded.process_creation_date_time, parent_process_id = excluded.parent_process_id,
			parent_process_creation_date_time = excluded.parent_process_creation_date_time,
			parent_process_file_name = excluded.parent_process_file_name,
			parent_process_file_path = excluded.parent_process_file_path, ip_address = excluded.ip_address,
			country_letter_code = excluded.country_letter_code, url = excluded.url, primary_address = excluded.primary_address,
			network_message_id = excluded.network_message_id, internet_message_id = excluded.internet_message_id,
			subject = excluded.subject, sender_address = excluded.sender_address, sender_ip = excluded.sender_ip,
			recipient_email_address = excluded.recipient_email_address, received_date_time = excluded.received_date_time,
			delivery_action = excluded.delivery_action, delivery_location = excluded.delivery_location,
			cluster_by = excluded.cluster_by, cluster_by_value = excluded.cluster_by_value, email_count = excluded.email_count,
			security_group_id = excluded.security_group_id, registry_hive = excluded.registry_hive,
			registry_key = excluded.registry_key, registry_value_name = excluded.registry_value_name,
			registry_value = excluded.registry_value, registry_value_type = excluded.registry_value_type,
			app_id = excluded.app_id, object_id = excluded.object_id, resource_id = excluded.resource_id,
			resource_name = excluded.resource_name, resource_type = excluded.resource_type, raw = excluded.raw
		WHERE (
			e.evidence_type, e.created_date_time, e.verdict, e.remediation_status, e.remediation_status_details, e.roles,
			e.detailed_roles, e.tags, e.display_name, e.host_name, e.device_dns_name, e.mde_device_id, e.azure_ad_device_id,
			e.os_platform, e.os_build, e.version, e.health_status, e.risk_score, e.onboarding_status, e.defender_av_status,
			e.rbac_group_name, e.last_ip_address, e.last_external_ip_address, e.first_seen_date_time, e.account_name,
			e.domain_name, e.user_sid, e.azure_ad_user_id, e.user_principal_name, e.file_name, e.file_path, e.file_size,
			e.sha1, e.sha256, e.md5, e.detection_status, e.process_id, e.process_command_line, e.process_creation_date_time,
			e.parent_process_id, e.parent_process_creation_date_time, e.parent_process_file_name, e.parent_process_file_path,
			e.ip_address, e.country_letter_code, e.url, e.primary_address, e.network_message_id, e.internet_message_id,
			e.subject, e.sender_address, e.sender_ip, e.recipient_email_address, e.received_date_time, e.delivery_action,
			e.delivery_location, e.cluster_by, e.cluster_by_value, e.email_count, e.security_group_id, e.registry_hive,
			e.registry_key, e.registry_value_name, e.registry_value, e.registry_value_type, e.app_id, e.object_id,
			e.resource_id, e.resource_name, e.resource_type, e.raw
		) IS DISTINCT FROM (
			excluded.evidence_type, excluded.created_date_time, excluded.verdict, excluded.remediation_status,
			excluded.remediation_status_details, excluded.roles, excluded.detailed_roles, excluded.tags, excluded.display_name,
			excluded.host_name, excluded.device_dns_name, excluded.mde_device_id, excluded.azure_ad_device_id,
			excluded.os_platform, excluded.os_build, excluded.version, excluded.health_status, excluded.risk_score,
			excluded.onboarding_status, excluded.defender_av_status, excluded.rbac_group_name, excluded.last_ip_address,
			excluded.last_external_ip_address, excluded.first_seen_date_time, excluded.account_name, excluded.domain_name,
			excluded.user_sid, excluded.azure_ad_user_id, excluded.user_principal_name, excluded.file_name, excluded.file_path,
			excluded.file_size, excluded.sha1, excluded.sha256, excluded.md5, excluded.detection_status, excluded.process_id,
			excluded.process_command_line, excluded.process_creation_date_time, excluded.parent_process_id,
			excluded.parent_process_creation_date_time, excluded.parent_process_file_name, excluded.parent_process_file_path,
			excluded.ip_address, excluded.country_letter_code, excluded.url, excluded.primary_address,
			excluded.network_message_id, excluded.internet_message_id, excluded.subject, excluded.sender_address,
			excluded.sender_ip, excluded.recipient_email_address, excluded.received_date_time, excluded.delivery_action,
			excluded.delivery_location, excluded.cluster_by, excluded.cluster_by_value, excluded.email_count,
			excluded.security_group_id, excluded.registry_hive, excluded.registry_key, excluded.registry_value_name,
			excluded.registry_value, excluded.registry_value_type, excluded.app_id, excluded.object_id, excluded.resource_id,
			excluded.resource_name, excluded.resource_type, excluded.raw
		)`
	type key struct {
		TenantID string `db:"tenant_id"`
		AlertID  string `db:"alert_id"`
		Number   int64  `db:"number"`
	}
	keys := mapRows(p.rows, func(a *Alert) *key { return &key{a.TenantID, a.AlertID, int64(len(a.Evidence))} })
	b.Queue(surplus, columns(keys)...)
	var evidence []*Evidence
	for _, a := range p.rows {
		for n := range a.Evidence {
			evidence = append(evidence, a.Evidence[n].indexable())
		}
	}
	if len(evidence) > 0 {
		b.Queue(upsert, columns(evidence)...)
	}
}

// indexable returns e, or a copy without the values that are too long for the
// indexes of its table: raw has them, and the record is not refused.
func (e *Evidence) indexable() *Evidence {
	indexed := func(e *Evidence) []**string {
		return []**string{&e.HostName, &e.MDEDeviceID, &e.UserPrincipalName, &e.AccountName, &e.SHA1, &e.SHA256, &e.IPAddress}
	}
	fit := *e
	cut := false
	for _, s := range indexed(&fit) {
		if *s != nil && len(**s) > maxIndexed {
			*s, cut = nil, true
		}
	}
	if !cut {
		return e
	}
	return &fit
}
