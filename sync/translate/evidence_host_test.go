package translate

import (
	"fmt"
	"strings"
	"testing"

	"defendersync/store"
)

// hostsOf is the host_name of each device that is served, "-" for none.
func hostsOf(evidence []store.Evidence) string {
	var hosts []string
	for _, e := range evidence {
		host := "-"
		if e.HostName != nil {
			host = *e.HostName
		}
		hosts = append(hosts, host)
	}
	return strings.Join(hosts, " ")
}

func TestHostNameOfADevice(t *testing.T) {
	devices := []string{
		`"hostName":"own","deviceDnsName":"other.contoso.com"`,
		`"deviceDnsName":"other.contoso.com","hostName":"own"`,
		`"hostName":null,"deviceDnsName":"Host-1.contoso.com"`,
		`"hostName":"","deviceDnsName":"host-2.contoso.com."`,
		`"deviceDnsName":"host_3.contoso.com","hostName":""`,
		`"deviceDnsName":"desktop"`,
		`"deviceDnsName":"10.0.0.1"`,
		`"deviceDnsName":"fe80::1"`,
		`"deviceDnsName":"two words.contoso.com"`,
		`"deviceDnsName":".contoso.com"`,
		`"deviceDnsName":""`,
		`"deviceDnsName":null`,
		`"deviceDnsName":5`,
	}
	const want = "own own Host-1 host-2 host_3 desktop - - - - - - -"
	for i, d := range devices {
		devices[i] = `{"@odata.type":"#microsoft.graph.security.deviceEvidence",` + d + `}`
	}
	graph, _ := evidenceOf(t, devices...)
	if got := hostsOf(graph); got != want {
		t.Errorf("Graph: %s\nwant   %s", got, want)
	}
	if got := *graph[2].DeviceDNSName; got != "Host-1.contoso.com" {
		t.Errorf("the DNS name became %s", got)
	}
	older, _ := oneAlert(t, fmt.Sprintf(olderAlertSample, strings.Join(devices, ","), ""))
	if got := hostsOf(older.Evidence); got != want {
		t.Errorf("older: %s\nwant   %s", got, want)
	}
}
