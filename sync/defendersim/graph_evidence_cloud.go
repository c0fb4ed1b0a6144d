package defendersim

// The evidence types with evidence inside them.

func (e *encoder) graphCloudSession(ev *evidence) {
	e.nested("account", "user", ev, func() { e.account("userAccount", ev.user); e.null("stream") })
	e.str("browser", "Edge 131.0")
	e.null("deviceName")
	e.str("operatingSystem", "Windows 11")
	e.time("previousLogonDateTime", ev.ppStarted)
	e.str("protocol", "OAuth2:Authorize")
	e.str("sessionId", guid(ev.r))
	e.time("startUtcDateTime", ev.started)
	e.str("userAgent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36")
}

func (e *encoder) graphHostSession(ev *evidence) {
	e.nested("account", "user", ev, func() { e.account("userAccount", ev.user); e.null("stream") })
	e.null("endUtcDateTime")
	e.nested("host", "device", ev, func() { e.graphDevice(ev) })
	e.str("sessionId", hexes(ev.r, 8))
	e.time("startUtcDateTime", ev.started)
}

func (e *encoder) graphConnection(ev *evidence) {
	e.nested("destinationAddress", "ip", ev, func() { e.graphIP(ev.address) })
	e.int("destinationPort", 443)
	e.str("protocol", "tcp")
	e.nested("sourceAddress", "ip", ev, func() { e.graphIP(ev.other) })
	e.int("sourcePort", int64(49152+ev.r.IntN(16000)))
}

func (e *encoder) graphDNS(ev *evidence) {
	e.nested("dnsServerIp", "ip", ev, func() { e.graphIP(ev.other) })
	e.str("domainName", ev.mail.domain)
	e.null("hostIpAddress")
	e.list("ipAddresses", 1, func(int) {
		e.braces(func() {
			e.text("@odata.type", "#microsoft.graph.security.ipEvidence")
			e.evidenceBase(ev)
			e.graphIP(ev.address)
		})
	})
}

func (e *encoder) graphMalware(ev *evidence) {
	e.str("category", "Malware")
	e.str("name", ev.file.family)
	e.list("files", 1, func(int) {
		e.braces(func() {
			e.text("@odata.type", "#microsoft.graph.security.fileEvidence")
			e.evidenceBase(ev)
			e.graphFile(ev)
		})
	})
	e.empty("processes")
}

func (e *encoder) azureResource(ev *evidence) {
	e.str("resourceId", "/subscriptions/"+subscription+"/resourceGroups/rg-core/providers/Microsoft.Compute/virtualMachines/"+ev.host.name)
	e.str("resourceName", ev.host.name)
	e.str("resourceType", "Virtual Machine")
}

func (e *encoder) graphPod(ev *evidence) {
	e.empty("containers", "ephemeralContainers", "initContainers")
	e.null("controller", "podIp", "serviceAccount")
	e.obj("labels", func() { e.str("app", "settlement"); e.str("pod-template-hash", hexes(ev.r, 10)) })
	e.str("name", "settlement-"+hexes(ev.r, 10))
	e.nested("namespace", "kubernetesNamespace", ev, func() {
		e.null("cluster")
		e.obj("labels", func() {})
		e.str("name", "payments")
	})
}

func (e *encoder) graphBlob(ev *evidence) {
	const url = "https://wgexchange.blob.core.windows.net/statements"
	e.nested("blobContainer", "blobContainer", ev, func() {
		e.str("name", "statements")
		e.nested("storageResource", "azureResource", ev, func() { e.azureResource(ev) })
		e.str("url", url)
	})
	e.str("etag", "0x8D"+hexes(ev.r, 12))
	e.list("fileHashes", 1, func(int) {
		e.braces(func() { e.str("algorithm", "sha256"); e.str("value", ev.file.sha256) })
	})
	e.str("name", "2026-q3.csv")
	e.str("url", url+"/2026-q3.csv")
}
