package defendersim

import (
	"fmt"
	"strings"
	"time"
)

// graphEvidence writes one element of an alert's evidence.
func (e *encoder) graphEvidence(ev *evidence) {
	e.braces(func() {
		e.text("@odata.type", "#microsoft.graph.security."+ev.kind+"Evidence")
		e.evidenceBase(ev)
		if write, ok := graphKinds[ev.kind]; ok {
			write(e, ev)
		} else {
			e.str("sessionName", "run-"+hexes(ev.r, 8))
			e.obj("agent", func() { e.str("name", "Triage helper"); e.int("revision", 7) })
		}
	})
}

func (e *encoder) evidenceBase(ev *evidence) {
	e.time("createdDateTime", ev.created)
	e.enum("verdict", ev.verdict)
	e.enum("remediationStatus", ev.remediation)
	e.null("remediationStatusDetails")
	e.strs("roles", ev.roles)
	e.empty("detailedRoles")
	e.strs("tags", ev.tags)
}

// nested writes evidence inside evidence.
func (e *encoder) nested(k, kind string, ev *evidence, body func()) {
	e.obj(k, func() {
		e.text("@odata.type", "#microsoft.graph.security."+kind+"Evidence")
		e.evidenceBase(ev)
		body()
	})
}

// graphKinds writes the properties of each evidence type, as the schema names them.
var graphKinds = map[string]func(*encoder, *evidence){
	"device":  (*encoder).graphDevice,
	"user":    func(e *encoder, ev *evidence) { e.account("userAccount", ev.user); e.null("stream") },
	"process": (*encoder).graphProcess,
	"file":    (*encoder).graphFile,
	"ip":      func(e *encoder, ev *evidence) { e.graphIP(ev.address) },
	"url":     func(e *encoder, ev *evidence) { e.str("url", ev.url) },
	"mailbox": func(e *encoder, ev *evidence) {
		e.str("displayName", ev.user.display)
		e.str("primaryAddress", ev.user.upn)
		e.str("upn", ev.user.upn)
		e.account("userAccount", ev.user)
	},
	"analyzedMessage": (*encoder).graphMessage,
	"mailCluster":     (*encoder).graphCluster,
	"submissionMail":  (*encoder).graphSubmission,
	"teamsMessage":    (*encoder).graphTeams,
	"mailboxConfiguration": func(e *encoder, ev *evidence) {
		e.str("configurationId", guid(ev.r))
		e.str("configurationType", pick(ev.r, []string{"userInboxRule", "mailForwardingRule"}))
		e.str("displayName", pick(ev.r, []string{".", "rss", "archive old"}))
		e.str("externalDirectoryObjectId", ev.user.aadID)
		e.str("mailboxPrimaryAddress", ev.user.upn)
		e.str("upn", ev.user.upn)
	},
	"registryKey": func(e *encoder, ev *evidence) {
		e.str("registryHive", registryKeys[ev.registry].hive)
		e.str("registryKey", registryKeys[ev.registry].key)
	},
	"registryValue": func(e *encoder, ev *evidence) {
		k := registryKeys[ev.registry]
		e.str("mdeDeviceId", ev.host.id)
		e.str("registryHive", k.hive)
		e.str("registryKey", k.key)
		e.str("registryValue", k.value)
		e.str("registryValueName", k.name)
		e.str("registryValueType", "String")
	},
	"securityGroup": func(e *encoder, ev *evidence) {
		e.str("activeDirectoryObjectGuid", ev.group.guid)
		e.str("displayName", ev.group.name)
		e.str("distinguishedName", ev.group.dn)
		e.str("friendlyName", ev.group.name)
		e.str("securityGroupId", ev.group.id)
		e.str("sid", ev.group.sid)
	},
	"cloudApplication": func(e *encoder, ev *evidence) {
		e.int("appId", ev.app.id)
		e.str("displayName", ev.app.name)
		e.int("instanceId", 0)
		e.str("instanceName", ev.app.name)
		e.int("saasAppId", ev.app.id)
		e.null("stream")
	},
	"oauthApplication": func(e *encoder, ev *evidence) {
		e.str("appId", ev.oauth.id)
		e.str("displayName", ev.oauth.name)
		e.str("objectId", ev.oauth.object)
		e.str("publisher", ev.oauth.publisher)
	},
	"servicePrincipal": func(e *encoder, ev *evidence) {
		e.str("appId", ev.oauth.id)
		e.str("appOwnerTenantId", guid(ev.r))
		e.str("servicePrincipalName", ev.oauth.name)
		e.str("servicePrincipalObjectId", ev.oauth.object)
		e.str("servicePrincipalType", "application")
		e.str("tenantId", e.tenant)
	},
	"cloudLogonRequest": func(e *encoder, ev *evidence) { e.str("requestId", guid(ev.r)) },
	"cloudLogonSession": (*encoder).graphCloudSession,
	"hostLogonSession":  (*encoder).graphHostSession,
	"networkConnection": (*encoder).graphConnection,
	"dns":               (*encoder).graphDNS,
	"malware":           (*encoder).graphMalware,
	"kubernetesPod":     (*encoder).graphPod,
	"blob":              (*encoder).graphBlob,
	"azureResource":     func(e *encoder, ev *evidence) { e.azureResource(ev) },
	"activeDirectoryDomain": func(e *encoder, ev *evidence) {
		e.str("activeDirectoryDomainName", adDomain)
		e.empty("trustedDomains")
	},
	"amazonResource": func(e *encoder, ev *evidence) {
		e.str("amazonAccountId", "123456789012")
		e.str("amazonResourceId", "arn:aws:s3:::wg-exchange-"+hexes(ev.r, 4))
		e.str("resourceName", "wg-exchange")
		e.str("resourceType", "AWS::S3::Bucket")
	},
}

func (e *encoder) graphDevice(ev *evidence) {
	h := ev.host
	e.time("firstSeenDateTime", h.firstSeen)
	e.str("mdeDeviceId", h.id)
	e.str("azureAdDeviceId", h.aadID)
	e.str("deviceDnsName", h.dns)
	e.str("dnsDomain", adDomain)
	e.str("hostName", strings.ToLower(h.name))
	e.str("ntDomain", ntDomain)
	e.strs("ipInterfaces", []string{h.ip, "fe80::1", "127.0.0.1"})
	e.str("lastExternalIpAddress", h.external)
	e.str("lastIpAddress", h.ip)
	e.str("osPlatform", h.os)
	e.int("osBuild", h.build)
	e.str("version", h.version)
	e.str("healthStatus", "active")
	e.str("riskScore", h.risk)
	e.int("rbacGroupId", h.groupID)
	e.str("rbacGroupName", h.group)
	e.str("onboardingStatus", "onboarded")
	e.str("defenderAvStatus", pick(ev.r, []string{"updated", "updated", "notUpdated", "unknown"}))
	e.list("loggedOnUsers", 1, func(int) {
		e.braces(func() { e.str("accountName", ev.user.account); e.str("domainName", ntDomain) })
	})
	e.empty("resourceAccessEvents")
	e.vm(h)
}

func (e *encoder) vm(h *host) {
	if h.vm == "" {
		e.null("vmMetadata")
		return
	}
	e.obj("vmMetadata", func() {
		e.str("vmId", h.vm)
		e.str("cloudProvider", "azure")
		e.str("resourceId", "/subscriptions/"+subscription+"/resourceGroups/rg-core/providers/Microsoft.Compute/virtualMachines/"+h.name)
		e.str("subscriptionId", subscription)
	})
}

const subscription = "5b3f0c0e-7a46-4d2b-9d0c-6c3b7f1e2a90"

func (e *encoder) account(k string, u *user) {
	e.obj(k, func() {
		e.str("accountName", u.account)
		e.str("domainName", ntDomain)
		e.str("userSid", u.sid)
		e.str("azureAdUserId", u.aadID)
		e.str("tenantId", e.tenant)
		e.str("userPrincipalName", u.upn)
		e.str("displayName", u.display)
		e.str("activeDirectoryObjectGuid", u.guid)
		e.empty("resourceAccessEvents")
	})
}

func (e *encoder) fileDetails(k string, f *file) {
	e.obj(k, func() {
		e.str("sha1", f.sha1)
		e.str("sha256", f.sha256)
		e.str("md5", f.md5)
		e.null("sha256Ac")
		e.str("fileName", f.name)
		e.str("filePath", f.path)
		e.int("fileSize", f.size)
		e.str("filePublisher", f.publisher)
		e.null("signer", "issuer")
	})
}

func (e *encoder) graphFile(ev *evidence) {
	e.str("detectionStatus", "detected")
	e.str("mdeDeviceId", ev.host.id)
	e.fileDetails("fileDetails", ev.file)
}

func (e *encoder) graphProcess(ev *evidence) {
	e.int("processId", ev.pid)
	e.int("parentProcessId", ev.ppid)
	e.str("processCommandLine", ev.file.command)
	e.time("processCreationDateTime", ev.started)
	e.time("parentProcessCreationDateTime", ev.ppStarted)
	e.str("detectionStatus", "detected")
	e.str("mdeDeviceId", ev.host.id)
	e.fileDetails("imageFile", ev.file)
	e.fileDetails("parentProcessImageFile", ev.parent)
	e.account("userAccount", ev.user)
}

func (e *encoder) graphIP(a *address) {
	e.str("ipAddress", a.ip)
	e.str("countryLetterCode", a.country)
	e.obj("location", func() {
		e.str("city", a.city)
		e.str("countryName", a.countryName)
		e.null("state")
		e.float("latitude", a.lat)
		e.float("longitude", a.long)
	})
	e.null("stream")
}

func (e *encoder) sender(k string, m *mail) {
	e.obj(k, func() {
		e.str("emailAddress", m.sender)
		e.str("displayName", m.display)
		e.str("domainName", m.domain)
	})
}

func (e *encoder) graphMessage(ev *evidence) {
	id := guid(ev.r)
	e.str("networkMessageId", id)
	e.str("internetMessageId", "<"+hexes(ev.r, 16)+"@"+ev.mail.domain+">")
	e.str("subject", ev.mail.subject)
	e.str("language", "en")
	e.str("senderIp", ev.mail.ip)
	e.str("recipientEmailAddress", ev.to.upn)
	e.str("antiSpamDirection", "inbound")
	e.str("deliveryAction", pick(ev.r, []string{"delivered", "deliveredAsSpam", "blocked"}))
	e.str("deliveryLocation", pick(ev.r, []string{"inbox", "junkFolder", "quarantine"}))
	e.str("urn", "urn:MailEntity:"+hexes(ev.r, 32))
	e.strs("threats", []string{"ZapPhish"})
	e.strs("threatDetectionMethods", []string{"UrlReputation"})
	e.strs("urls", []string{ev.url})
	e.int("urlCount", 1)
	e.int("attachmentsCount", int64(ev.r.IntN(3)))
	e.time("receivedDateTime", ev.started.Truncate(time.Second))
	e.sender("p1Sender", ev.mail)
	e.sender("p2Sender", ev.mail)
}

// clusterBy is what a mail cluster groups messages by.
var clusterBy = []string{"Subject;P2SenderDomain;ContentType", "Subject;SenderIp;ContentType", "BodyFingerprintBin1;P2SenderDomain;ContentType"}

func (e *encoder) graphCluster(ev *evidence) {
	by := pick(ev.r, clusterBy)
	e.str("clusterBy", by)
	e.str("clusterByValue", ev.mail.subject+";"+ev.mail.domain+";1")
	e.int("emailCount", int64(1+ev.r.IntN(180)))
	e.strs("networkMessageIds", []string{guid(ev.r), guid(ev.r)})
	e.str("query", fmt.Sprintf("( (( (Subject:%q)  AND  (P2SenderDomain:%q)) ) )", ev.mail.subject, ev.mail.domain))
	e.str("urn", "urn:MailClusterEntity:"+hexes(ev.r, 32))
}

func (e *encoder) graphSubmission(ev *evidence) {
	e.str("networkMessageId", guid(ev.r))
	e.str("recipient", ev.to.upn)
	e.str("reportType", "Phish")
	e.str("sender", ev.mail.sender)
	e.str("senderIp", ev.mail.ip)
	e.str("subject", ev.mail.subject)
	e.time("submissionDateTime", ev.created)
	e.str("submissionId", guid(ev.r))
	e.str("submitter", ev.user.upn)
}

func (e *encoder) graphTeams(ev *evidence) {
	e.null("campaignId", "channelId", "groupId", "parentMessageId", "sourceAppName")
	e.str("deliveryAction", "delivered")
	e.str("deliveryLocation", "teams")
	e.empty("files")
	e.bool("isExternal", true)
	e.bool("isOwned", false)
	e.time("lastModifiedDateTime", ev.created)
	e.str("messageDirection", "inbound")
	e.str("messageId", fmt.Sprint(ev.started.UnixMilli()))
	e.str("owningTenantId", e.tenant)
	e.time("receivedDateTime", ev.started)
	e.strs("recipients", []string{ev.to.upn})
	e.str("senderFromAddress", ev.mail.sender)
	e.str("senderIP", ev.mail.ip)
	e.str("sourceId", guid(ev.r))
	e.str("subject", "")
	e.empty("suspiciousRecipients")
	e.str("threadId", "19:"+hexes(ev.r, 32)+"@unq.gbl.spaces")
	e.str("threadType", "chat")
	e.list("urls", 1, func(int) {
		e.braces(func() {
			e.text("@odata.type", "#microsoft.graph.security.urlEvidence")
			e.evidenceBase(ev)
			e.str("url", ev.url)
		})
	})
}
