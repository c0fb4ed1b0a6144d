package defendersim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// An estate is everything an organisation owns or is attacked with, from
// which alerts draw their evidence: the same hosts, people, files and
// addresses come back in many alerts.
type estate struct {
	hosts     []host
	users     []user
	addresses []address // of attackers
	malware   []file
	tools     []file // of Windows, and what starts them
	urls      []string
	mails     []mail
	oauth     []oauthApp
	groups    []group
}

type host struct {
	id, aadID, name, dns string
	os, version          string
	build                int64
	group                string
	groupID              int64
	ip, external         string
	risk                 string
	firstSeen            time.Time
	tags                 []string
	vm                   string // Azure machine id; "" for a physical device
}

type user struct {
	account, display, upn, sid, aadID, guid string
}

type address struct {
	ip, country, countryName, city string
	lat, long                      float64
}

type file struct {
	name, path, md5, sha1, sha256 string
	size                          int64
	publisher, family, command    string
}

type mail struct {
	subject, sender, display, domain, ip string
}

type oauthApp struct{ name, id, object, publisher string }

type group struct{ name, id, sid, guid, dn string }

type cloudApp struct {
	id   int64
	name string
}

const (
	upnDomain = "woodgrovebank.com"
	adDomain  = "corp.woodgrovebank.com"
	ntDomain  = "WOODGROVE"
)

func newEstate(seed uint64, incidents int, now time.Time) *estate {
	r := rand.New(rand.NewPCG(seed, 0x65737461))
	e := &estate{}
	for i := range min(60+incidents/4, 3000) {
		e.users = append(e.users, newUser(r, i))
	}
	for i := range min(45+incidents/5, 2500) {
		e.hosts = append(e.hosts, newHost(r, i, now))
	}
	for i := range 90 {
		e.addresses = append(e.addresses, newAddress(r, i))
	}
	for i, family := range families {
		e.malware = append(e.malware, newMalware(r, i, family))
	}
	for _, t := range tools {
		e.tools = append(e.tools, newTool(r, t))
	}
	e.addOutside(r)
	return e
}

// addOutside fills what comes from or points to the outside: links, messages,
// applications, groups.
func (e *estate) addOutside(r *rand.Rand) {
	for i := range 60 {
		e.urls = append(e.urls, fmt.Sprintf("https://%s.%s.example/%s", pick(r, urlHosts), pick(r, urlDomains), fmt.Sprintf(pick(r, urlPaths), 1000+i*37)))
	}
	for range 50 {
		domain := pick(r, urlDomains) + ".example"
		display := pick(r, senders)
		e.mails = append(e.mails, mail{pick(r, subjects), strings.ToLower(strings.ReplaceAll(display, " ", ".")) + "@" + domain, display, domain, pick(r, e.addresses).ip})
	}
	for _, name := range oauthNames {
		e.oauth = append(e.oauth, oauthApp{name, guid(r), guid(r), pick(r, []string{"", "Unverified publisher", "Northwind Labs"})})
	}
	for i, name := range groupNames {
		e.groups = append(e.groups, group{name, guid(r), fmt.Sprintf("S-1-5-21-1830557731-2210664925-3391884113-%d", 512+i), guid(r), "CN=" + name + ",CN=Users,DC=corp,DC=woodgrovebank,DC=com"})
	}
}

func newUser(r *rand.Rand, i int) user {
	first, last := pick(r, firstNames), pick(r, lastNames)
	account := strings.ToLower(ascii(first)[:1]+ascii(last)) + suffix(i)
	return user{
		account: account, display: first + " " + last, upn: account + "@" + upnDomain,
		sid:   fmt.Sprintf("S-1-5-21-1830557731-2210664925-3391884113-%d", 1100+i),
		aadID: guid(r), guid: guid(r),
	}
}

// suffix keeps account names apart when the names run out.
func suffix(i int) string {
	if i < 20 {
		return ""
	}
	return fmt.Sprint(i)
}

func newHost(r *rand.Rand, i int, now time.Time) host {
	k := pickKind(r, i)
	name := fmt.Sprintf("%s-%04d", k.prefix, 100+i)
	h := host{
		id: hexes(r, 40), name: name, dns: strings.ToLower(name) + "." + adDomain,
		os: k.os, version: k.version, build: k.build, group: k.group, groupID: k.groupID,
		ip:        fmt.Sprintf("10.%d.%d.%d", 20+i%40, r.IntN(250), 2+r.IntN(250)),
		external:  fmt.Sprintf("198.51.100.%d", 2+r.IntN(250)),
		risk:      pick(r, []string{"none", "informational", "low", "low", "medium", "medium", "high"}),
		firstSeen: tick(now.Add(-time.Duration(30+r.IntN(900)) * 24 * time.Hour).Add(time.Duration(r.Int64N(int64(24 * time.Hour))))),
		tags:      k.tags,
	}
	if r.IntN(4) > 0 {
		h.aadID = guid(r)
	}
	if k.cloud {
		h.vm = guid(r)
	}
	return h
}

func pickKind(r *rand.Rand, i int) hostKind {
	if i < len(hostKinds) { // one of each, so that even a small estate has servers
		return hostKinds[i]
	}
	return hostKinds[min(r.IntN(14), len(hostKinds)-1)]
}

func newAddress(r *rand.Rand, i int) address {
	p := places[i%len(places)]
	ip := fmt.Sprintf("203.0.113.%d", 1+i)
	switch {
	case i%9 == 8:
		ip = fmt.Sprintf("2001:db8:%x:%x::%x", r.IntN(65536), r.IntN(65536), 1+i)
	case i%2 == 1:
		ip = fmt.Sprintf("192.0.2.%d", 1+i)
	}
	return address{ip, p.country, p.name, p.city, p.lat, p.long}
}

func newMalware(r *rand.Rand, i int, family string) file {
	name := fmt.Sprintf(malwareNames[i%len(malwareNames)], r.IntN(900)+100)
	return file{
		name: name, path: pick(r, malwareFolders), md5: hexes(r, 32), sha1: hexes(r, 40), sha256: hexes(r, 64),
		size: int64(20_000 + r.IntN(9_000_000)), family: family, command: fmt.Sprintf("%q", name),
	}
}

func newTool(r *rand.Rand, t tool) file {
	return file{
		name: t.name, path: t.path, md5: hexes(r, 32), sha1: hexes(r, 40), sha256: hexes(r, 64),
		size: int64(40_000 + r.IntN(900_000)), publisher: t.publisher, command: t.command,
	}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

const hexDigits = "0123456789abcdef"

func hexes(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = hexDigits[r.IntN(16)]
	}
	return string(b)
}

// guid is a random identifier in the usual form.
func guid(r *rand.Rand) string {
	h := hexes(r, 32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-" + string("89ab"[r.IntN(4)]) + h[17:20] + "-" + h[20:]
}

// ascii drops what an account name cannot hold.
func ascii(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
			return c
		}
		return -1
	}, s)
}

// tick truncates to the 100 ns that both APIs count in.
func tick(t time.Time) time.Time { return t.UTC().Truncate(100 * time.Nanosecond) }
