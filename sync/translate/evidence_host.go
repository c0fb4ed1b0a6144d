package translate

import (
	"defendersync/store"
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
	if host := store.FirstLabel(served); host != "" && (row.HostName == nil || *row.HostName == "") {
		row.HostName = &host
	}
}
