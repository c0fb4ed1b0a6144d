package sync

import (
	"net/netip"
	"strings"
	"unicode"

	"defendersync/sync/defender"
)

// hostPart names a device. host_name is what people look for, and the older
// API has no such property, nor does Graph always fill it: then it is taken from
// the DNS name.
var hostPart = shape[evidence]{"hostName": setHostName, "deviceDnsName": setDeviceDNSName}

// setHostName sets host_name, but not to nothing where there is something.
func setHostName(x scope, row *evidence, o defender.Object, name string) {
	if served, ok, _ := o.Text(name); !ok || served != "" || row.HostName == nil {
		setText(evidenceTexts["host_name"])(x, row, o, name)
	}
}

// setDeviceDNSName sets device_dns_name, and host_name as long as that is empty.
func setDeviceDNSName(x scope, row *evidence, o defender.Object, name string) {
	setText(evidenceTexts["device_dns_name"])(x, row, o, name)
	served, _, _ := o.Text(name)
	if host := firstLabel(served); host != "" && (row.HostName == nil || *row.HostName == "") {
		row.HostName = &host
	}
}

// firstLabel is the host in a DNS name; "" when the name is none, as an IP
// address is not.
func firstLabel(name string) string {
	name = strings.TrimSuffix(name, ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return ""
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.ContainsFunc(label, notInLabel) {
			return ""
		}
	}
	host, _, _ := strings.Cut(name, ".")
	return host
}

// notInLabel is wider than the standard: names of machines have underscores
// and letters of all languages.
func notInLabel(r rune) bool {
	return r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}
