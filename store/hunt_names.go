package store

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// huntNaming is a documented column of advanced hunting that names an entity.
type huntNaming struct {
	column, kind string
	account      bool // of the domain beside it, unless there is a user principal name beside it
}

// huntNamings are the columns whose values are entities, as evidence has them.
// They are documented under these names; the two APIs differ in capitals.
var huntNamings = []huntNaming{
	{"DeviceName", "host", false}, {"HostName", "host", false}, {"RemoteDeviceName", "host", false}, {"SourceDeviceName", "host", false},
	{"TargetDeviceName", "host", false}, {"DestinationDeviceName", "host", false},
	{"InitiatingProcessRemoteSessionDeviceName", "host", false}, {"ProcessRemoteSessionDeviceName", "host", false},

	{"AccountUpn", "user", false}, {"InitiatingProcessAccountUpn", "user", false}, {"TargetAccountUpn", "user", false},
	{"ActivityInitiatorUpn", "user", false}, {"OriginatorUpn", "user", false}, {"FileOwnerUpn", "user", false},
	{"LastModifyingAccountUpn", "user", false}, {"UserPrincipalName", "user", false},
	{"AccountName", "user", true}, {"InitiatingProcessAccountName", "user", true}, {"RequestAccountName", "user", true},

	{"RemoteIP", "ip", false}, {"LocalIP", "ip", false}, {"IPAddress", "ip", false}, {"PublicIP", "ip", false},
	{"SourceIpAddress", "ip", false}, {"DestinationIPAddress", "ip", false}, {"SenderIPv4", "ip", false}, {"SenderIPv6", "ip", false},
	{"FileOriginIP", "ip", false}, {"RequestSourceIP", "ip", false},
	{"InitiatingProcessRemoteSessionIP", "ip", false}, {"ProcessRemoteSessionIP", "ip", false},

	{"RemoteUrl", "url", false}, {"Url", "url", false}, {"FileOriginUrl", "url", false}, {"FileOriginReferrerUrl", "url", false},

	{"SHA256", "hash", false}, {"SHA1", "hash", false}, {"MD5", "hash", false}, {"InitiatingProcessSHA256", "hash", false},
	{"InitiatingProcessSHA1", "hash", false}, {"InitiatingProcessMD5", "hash", false},

	{"RecipientEmailAddress", "mailbox", false}, {"SenderFromAddress", "mailbox", false}, {"SenderMailFromAddress", "mailbox", false},
	{"SenderEmailAddress", "mailbox", false},
}

// HuntEntityColumns lists the columns of advanced hunting whose values are
// entities, as the documentation spells them.
func HuntEntityColumns() []string {
	all := make([]string, len(huntNamings))
	for i, n := range huntNamings {
		all[i] = n.column
	}
	return all
}

// names is whether the stream's configuration takes a column for its entities.
func (s *HuntSpec) names(column string) bool {
	return s.Entities == nil || containsFold(s.Entities, column)
}

// shapeNaming is a column of an answer that names an entity.
type shapeNaming struct {
	column      int // of the shape's columns
	kind        string
	property    string // the column's name in the table
	bit         uint64 // that of its place in huntNamings
	upn, domain int    // of an account, the columns beside it; -1 where there is none to read
}

// nameColumns works out which columns name entities: of events only, whose rows say
// when something was seen, and none that is private.
func (s *huntShape) nameColumns(spec *HuntSpec) {
	if spec.Mode != HuntEvents {
		return
	}
	find := func(served string) int {
		return slices.IndexFunc(s.columns, func(c shapeColumn) bool { return c.is(served) && !c.private && c.kind == kindText })
	}
	for i, n := range huntNamings {
		at := find(n.column)
		if at < 0 || !spec.names(n.column) {
			continue
		}
		name := shapeNaming{column: at, kind: n.kind, property: s.columns[at].name, bit: 1 << i, upn: -1, domain: -1}
		if n.account {
			prefix := strings.TrimSuffix(n.column, "Name")
			name.domain = find(prefix + "Domain")
			if upn := prefix + "Upn"; spec.names(upn) {
				name.upn = find(upn)
			}
		}
		s.names = append(s.names, name)
		s.reach = max(s.reach, at+1, name.upn+1, name.domain+1)
	}
}

// split sets fields to those of a row that name something, without their lengths.
func (s *huntShape) split(fields [][]byte, body []byte) [][]byte {
	fields = fields[:0]
	for range s.reach {
		n := int32(binary.BigEndian.Uint32(body))
		body = body[4:]
		if n < 0 {
			fields = append(fields, nil)
			continue
		}
		fields, body = append(fields, body[:n]), body[n:]
	}
	return fields
}

// value appends to dst what the column names, as served; nothing where it names nothing.
func (n *shapeNaming) value(dst []byte, fields [][]byte) []byte {
	value := fields[n.column]
	switch {
	case len(value) == 0 || n.upn >= 0 && len(fields[n.upn]) > 0: // which names the user
		return dst
	case n.domain >= 0 && len(fields[n.domain]) > 0:
		dst = append(append(dst, fields[n.domain]...), '\\')
	}
	return append(dst, value...)
}

// entityName is the name in a value: of a host's DNS name its first label, which
// is what evidence calls a host.
func entityName(kind, value string) string {
	if kind == "host" {
		if host := FirstLabel(value); host != "" {
			return host
		}
	}
	return value
}

// FirstLabel is the host in a DNS name; "" when the name is none, as an IP
// address is not.
func FirstLabel(name string) string {
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
