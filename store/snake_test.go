package store_test

import (
	"strings"
	"testing"
	"unicode"

	"defendersync/store"

	"pgregory.net/rapid"
)

func TestSnakeCase(t *testing.T) {
	for in, want := range map[string]string{
		"lastUpdateDateTime": "last_update_date_time", "SHA256": "sha256", "InitiatingProcessSHA1": "initiating_process_sha1",
		"RemoteIP": "remote_ip", "OSPlatform": "os_platform", "IsAzureADJoined": "is_azure_ad_joined", "LogonID": "logon_id", "LogonId": "logon_id",
		"encoded_powershell": "encoded_powershell", "DeviceTvmSoftwareVulnerabilitiesKB": "device_tvm_software_vulnerabilities_kb",
		"MD5Hash": "md5_hash", "count_": "count_", "a b-c": "a_b_c", "ÜberName": "über_name", "": "", "X": "x", "AADSignInEventsBeta": "aad_sign_in_events_beta",
		"ProcessId2Of3": "process_id2_of3", "GraphAPIAuditEvents": "graph_api_audit_events",
		"incidentWebUrl": "incident_web_url", "sha256Ac": "sha256_ac", "p2Sender": "p2_sender", "ioTDevice": "io_t_device", "gitHubRepo": "git_hub_repo",
		"clusterIP": "cluster_ip", "ISP": "isp", "IPv4Dhcp": "i_pv4_dhcp", "MD5": "md5", "Some_Name": "some_name", "ÄnderungsZeit": "änderungs_zeit",
		"DeviceTvmSecureConfigurationAssessmentKB": "device_tvm_secure_configuration_assessment_kb",
	} {
		if got := store.SnakeCase(in); got != want {
			t.Errorf("SnakeCase(%q) = %q, want %q", in, got, want)
		}
	}
}

// The rule only adds underscores and lowers capitals, and a name that it made
// is left as it is.
func TestSnakeCaseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Za-z][A-Za-z0-9]{0,30}`).Draw(t, "name")
		got := store.SnakeCase(name)
		if strings.ReplaceAll(got, "_", "") != strings.ToLower(name) {
			t.Fatalf("%q became %q: letters changed", name, got)
		}
		if strings.Contains(got, "__") || strings.HasPrefix(got, "_") || strings.HasSuffix(got, "_") {
			t.Fatalf("%q became %q: an empty word", name, got)
		}
		if again := store.SnakeCase(got); again != got {
			t.Fatalf("%q became %q and then %q", name, got, again)
		}
		for i, word := range strings.Split(got, "_") {
			if i > 0 && unicode.IsDigit(rune(word[0])) {
				t.Fatalf("%q became %q: a digit left what it followed", name, got)
			}
		}
	})
}

func TestSnakeCaseTakesAnyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store.SnakeCase(string(rapid.SliceOf(rapid.Byte()).Draw(t, "name")))
	})
}
