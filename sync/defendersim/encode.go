package defendersim

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// wireTime is how both APIs print a time: UTC, up to seven fraction digits,
// trailing zeros left out.
const wireTime = "2006-01-02T15:04:05.9999999Z"

// An encoder appends one JSON document with its keys in the order of the calls.
type encoder struct {
	b       []byte
	tenant  string // tenant id, which many records repeat
	unknown bool   // show the enum members that lie after unknownFutureValue
}

// key begins a property.
func (e *encoder) key(k string) {
	if n := len(e.b); n > 0 && e.b[n-1] != '{' {
		e.b = append(e.b, ',')
	}
	e.quote(k)
	e.b = append(e.b, ':')
}

func (e *encoder) quote(s string) {
	// The only error is invalid UTF-8, which is replaced in the output.
	e.b, _ = jsontext.AppendQuote(e.b, s)
}

// str writes a text that is null when empty.
func (e *encoder) str(k, v string) {
	if v == "" {
		e.null(k)
		return
	}
	e.text(k, v)
}

// text writes a text that may be empty.
func (e *encoder) text(k, v string) {
	e.key(k)
	e.quote(v)
}

// enum writes a member as the Graph does: one that an old client cannot know
// reads unknownFutureValue unless the client asked for it.
func (e *encoder) enum(k, v string) {
	if !e.unknown && future[k][v] {
		v = "unknownFutureValue"
	}
	e.str(k, v)
}

func (e *encoder) null(keys ...string) {
	for _, k := range keys {
		e.key(k)
		e.b = append(e.b, "null"...)
	}
}

func (e *encoder) int(k string, v int64) {
	e.key(k)
	e.b = strconv.AppendInt(e.b, v, 10)
}

func (e *encoder) float(k string, v float64) {
	e.key(k)
	e.b = strconv.AppendFloat(e.b, v, 'f', -1, 64)
}

func (e *encoder) bool(k string, v bool) {
	e.key(k)
	e.b = strconv.AppendBool(e.b, v)
}

// time writes a time that is null when zero.
func (e *encoder) time(k string, t time.Time) {
	if t.IsZero() {
		e.null(k)
		return
	}
	e.key(k)
	e.b = append(e.b, '"')
	e.b = t.UTC().AppendFormat(e.b, wireTime)
	e.b = append(e.b, '"')
}

func (e *encoder) strs(k string, v []string) {
	e.key(k)
	e.b = append(e.b, '[')
	for i, s := range v {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.quote(s)
	}
	e.b = append(e.b, ']')
}

// empty writes empty arrays.
func (e *encoder) empty(keys ...string) {
	for _, k := range keys {
		e.strs(k, nil)
	}
}

// obj writes a nested object whose properties body writes.
func (e *encoder) obj(k string, body func()) {
	e.key(k)
	e.braces(body)
}

func (e *encoder) braces(body func()) {
	e.b = append(e.b, '{')
	body()
	e.b = append(e.b, '}')
}

// list writes an array of n elements, each by one call of element.
func (e *encoder) list(k string, n int, element func(i int)) {
	e.key(k)
	e.b = append(e.b, '[')
	for i := range n {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		element(i)
	}
	e.b = append(e.b, ']')
}

// future holds, per property, the enum members that were added after
// unknownFutureValue.
var future = map[string]map[string]bool{
	"status":        members("awaitingAction"),
	"serviceSource": members("microsoftDefenderForCloud", "microsoftSentinel", "microsoftInsiderRiskManagement", "microsoftThreatIntelligence", "microsoftSecurityForAI"),
	"detectionSource": members("microsoftDefenderForCloud", "microsoftDefenderForIoT", "microsoftDefenderForServers", "microsoftDefenderForStorage",
		"microsoftDefenderForDNS", "microsoftDefenderForDatabases", "microsoftDefenderForContainers", "microsoftDefenderForNetwork",
		"microsoftDefenderForAppService", "microsoftDefenderForKeyVault", "microsoftDefenderForResourceManager", "microsoftDefenderForApiManagement",
		"nrtAlerts", "scheduledAlerts", "microsoftDefenderThreatIntelligenceAnalytics", "builtInMl", "microsoftInsiderRiskManagement",
		"microsoftThreatIntelligence", "microsoftDefenderForAIServices", "securityCopilot", "microsoftSentinel"),
	"remediationStatus": members("active", "pendingApproval", "declined", "unremediated", "running", "partiallyRemediated"),
}

func members(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}
