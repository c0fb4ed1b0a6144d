package defendersim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Evidence is one piece of evidence of an alert, as far as a comparison needs it.
type Evidence struct {
	// Type is the name of the Graph type without its ending: "user" for
	// #microsoft.graph.security.userEvidence.
	Type string
	// Older is what the older API makes of it: an entityType, "Device" for an
	// element of devices[], "" when it serves nothing.
	Older string
}

// evidence is one piece of evidence in both dialects' terms. It is made anew
// from its seed whenever an alert is rendered, so that a large world stays small.
type evidence struct {
	kind               string
	created            time.Time
	verdict            string
	remediation        string
	roles, tags        []string
	host               *host
	user               *user
	address, other     *address
	file, parent       *file
	pid, ppid          int64
	started, ppStarted time.Time
	mail               *mail
	to                 *user
	url                string
	app                cloudApp
	oauth              *oauthApp
	group              *group
	registry           int
	r                  *rand.Rand // for what only this kind has
}

// olderTypes says what the older API makes of each kind. Kinds that are not
// listed are not served there.
var olderTypes = map[string]string{
	"device": "Device", "user": "User", "process": "Process", "file": "File", "ip": "Ip", "url": "Url",
	"mailbox": "MailBox", "analyzedMessage": "MailMessage", "mailCluster": "MailCluster",
	"securityGroup": "SecurityGroup", "registryKey": "Registry", "registryValue": "Registry",
	mystery: "AgentSession",
}

// mystery is an evidence type of the future: it is in no schema.
const mystery = "agentSession"

// A cast is who and what takes part in an incident: alerts of one cast share
// hosts, people and attackers.
type cast struct {
	hosts     [3]*host
	users     [2]*user
	addresses [2]*address
	files     [2]*file
	url       string
	mail      *mail
	oauth     *oauthApp
	group     *group
	app       cloudApp
}

func (e *estate) cast(seed uint64) *cast {
	r := rand.New(rand.NewPCG(seed, 0x63617374))
	c := &cast{url: pick(r, e.urls), app: pick(r, cloudAppNames)}
	for i := range c.hosts {
		c.hosts[i] = &e.hosts[r.IntN(len(e.hosts))]
	}
	for i := range c.users {
		c.users[i] = &e.users[r.IntN(len(e.users))]
	}
	for i := range c.addresses {
		c.addresses[i] = &e.addresses[r.IntN(len(e.addresses))]
		c.files[i] = &e.malware[r.IntN(len(e.malware))]
	}
	c.mail = &e.mails[r.IntN(len(e.mails))]
	c.oauth = &e.oauth[r.IntN(len(e.oauth))]
	c.group = &e.groups[r.IntN(len(e.groups))]
	return c
}

// maxEvidence is how many pieces an alert is born with at most.
const maxEvidence = 8

// kinds lists what evidence the alert is born with: the detection's first
// kind always, the others mostly, a stranger now and then.
func (a *alert) kinds(r *rand.Rand) []string {
	kinds := make([]string, 0, maxEvidence)
	for i, k := range a.detection.evidence {
		if k == mystery && !chance(r, 25) {
			continue
		}
		if i == 0 || chance(r, 85) {
			kinds = append(kinds, k)
		}
	}
	if chance(r, 2) {
		kinds = append(kinds, mystery)
	}
	for chance(r, 20) && len(kinds) < maxEvidence {
		kinds = append(kinds, a.detection.evidence[0])
	}
	return kinds[:min(len(kinds), maxEvidence)]
}

// evidence makes the alert's evidence: what it was born with, then what came late.
func (a *alert) evidence(e *estate) []evidence {
	r := rand.New(rand.NewPCG(a.seed, 0x65766964))
	c := e.cast(a.cast)
	kinds := a.kinds(r)
	list := make([]evidence, 0, len(kinds)+len(a.late))
	for i, k := range kinds {
		list = append(list, a.piece(e, c, i, find{k, a.Created, r.Uint64()}))
	}
	for i, l := range a.late {
		kind := a.detection.evidence[int(l.seed%uint64(len(a.detection.evidence)))]
		list = append(list, a.piece(e, c, len(kinds)+i, find{kind, l.at, l.seed}))
	}
	return list
}

// find is what evidence is made from.
type find struct {
	kind string
	at   time.Time
	seed uint64
}

// piece makes the n-th piece of evidence, in which the cast takes turns.
func (a *alert) piece(e *estate, c *cast, n int, f find) evidence {
	r := rand.New(rand.NewPCG(f.seed, 0x70696563))
	ev := evidence{kind: f.kind, created: f.at, r: r}
	ev.verdict, ev.remediation = a.opinion(r)
	ev.roles = pick(r, [][]string{nil, nil, {"compromised"}, {"attacked", "destination"}, {"contextual"}, {"source"}})
	if chance(r, 8) {
		ev.tags = []string{pick(r, tagWords)}
	}
	ev.host, ev.user = c.hosts[n%len(c.hosts)], c.users[n/2%len(c.users)]
	ev.address, ev.other = c.addresses[n%2], c.addresses[(n+1)%2]
	ev.file, ev.url, ev.mail, ev.oauth, ev.group, ev.app = c.files[n/3%2], c.url, c.mail, c.oauth, c.group, c.app
	ev.to = &e.users[r.IntN(len(e.users))]
	if f.kind == "process" {
		ev.file = &e.tools[r.IntN(len(e.tools))]
	}
	ev.parent = &e.tools[r.IntN(len(e.tools))]
	ev.registry = r.IntN(len(registryKeys))
	ev.pid, ev.ppid = int64(4*(300+r.IntN(4000))), int64(4*(100+r.IntN(900)))
	ev.started = tick(a.First.Add(-time.Duration(r.Int64N(int64(20 * time.Minute)))))
	ev.ppStarted = tick(ev.started.Add(-time.Duration(r.Int64N(int64(5 * time.Hour)))))
	return ev
}

// opinion is the verdict on a piece of evidence: open until the alert has
// been looked into.
func (a *alert) opinion(r *rand.Rand) (verdict, remediation string) {
	v := pick(r, []string{"suspicious", "malicious", "malicious", "noThreatsFound", "unknown"})
	m := pick(r, []string{"none", "remediated", "prevented", "blocked", "notFound", "active", "pendingApproval", "partiallyRemediated"})
	if !a.judged {
		return "suspicious", "none"
	}
	return v, m
}

// fill replaces the placeholders of a detection's texts.
func (c *cast) fill(r *rand.Rand, text string) string {
	out := make([]byte, 0, len(text)+40)
	for i := 0; i < len(text); i++ {
		if text[i] != '{' {
			out = append(out, text[i])
			continue
		}
		end := i
		for text[end] != '}' {
			end++
		}
		out = append(out, c.name(r, text[i+1:end])...)
		i = end
	}
	return string(out)
}

func (c *cast) name(r *rand.Rand, placeholder string) string {
	switch placeholder {
	case "user":
		return c.users[0].display
	case "host":
		return c.hosts[0].name
	case "ip":
		return c.addresses[0].ip
	case "family":
		return familyName(c.files[0].family)
	}
	return fmt.Sprint(11 + r.IntN(40)) // rule
}

// familyName is the short name in Type:Platform/Family.
func familyName(full string) string {
	for i := len(full) - 1; i >= 0; i-- {
		if full[i] == '/' {
			return full[i+1:]
		}
	}
	return full
}
