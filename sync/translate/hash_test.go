package translate

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

func incidentHash(t *testing.T, record string) [16]byte {
	t.Helper()
	got, _ := oneIncident(t, defender.Graph, record)
	return got.ContentHash
}

func alertHash(t *testing.T, record string) [16]byte {
	t.Helper()
	got, _ := oneAlert(t, record)
	return got.ContentHash
}

const hashedIncident = `{"id":"1","lastUpdateDateTime":"2026-01-01T00:00:00Z","displayName":"a","extra":{"x":9007199254740993,"y":[1,2]},"alerts":[]}`

// What says nothing about the record does not make it another.
func TestHashIgnores(t *testing.T) {
	want := incidentHash(t, hashedIncident)
	tests := map[string]string{
		"order":             `{"alerts":[],"extra":{"y":[1,2],"x":9007199254740993},"displayName":"a","lastUpdateDateTime":"2026-01-01T00:00:00Z","id":"1"}`,
		"escapes":           strings.Replace(hashedIncident, `"a"`, `"\u0061"`, 1),
		"escaped names":     strings.Replace(hashedIncident, `"displayName"`, `"\u0064isplayName"`, 1),
		"annotations":       strings.Replace(hashedIncident, `{"id"`, `{"@odata.context":"x","alerts@odata.context":{"a":[1]},"id"`, 1),
		"inner annotations": strings.Replace(hashedIncident, `{"x"`, `{"y@odata.type":"#Collection(Int32)","@odata.etag":"W/1","x"`, 1),
		"its alerts":        strings.Replace(hashedIncident, `"alerts":[]`, `"alerts":[`+sampleAlert("a", 1)+`]`, 1),
		"no alerts":         strings.Replace(hashedIncident, `,"alerts":[]`, ``, 1),
	}
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, []byte(hashedIncident), " ", "\t"); err != nil {
		t.Fatal(err)
	}
	tests["white space"] = spaced.String()
	for name, record := range tests {
		if record == hashedIncident {
			t.Errorf("%s: nothing is different", name)
		}
		if incidentHash(t, record) != want {
			t.Errorf("%s: another hash", name)
		}
	}
}

// Whatever a row or raw could show makes another hash.
func TestHashSees(t *testing.T) {
	seen := map[[16]byte]string{incidentHash(t, hashedIncident): "the first"}
	tests := map[string]string{
		"a text":               strings.Replace(hashedIncident, `"a"`, `"b"`, 1),
		"the last digit":       strings.Replace(hashedIncident, `9007199254740993`, `9007199254740992`, 1),
		"an unknown property":  strings.Replace(hashedIncident, `{"id"`, `{"other":1,"id"`, 1),
		"a tick":               strings.Replace(hashedIncident, `00:00Z`, `00:00.0000001Z`, 1),
		"the order of a list":  strings.Replace(hashedIncident, `[1,2]`, `[2,1]`, 1),
		"null":                 strings.Replace(hashedIncident, `"a"`, `null`, 1),
		"a number as text":     strings.Replace(hashedIncident, `9007199254740993`, `"9007199254740993"`, 1),
		"the type":             strings.Replace(hashedIncident, `{"id"`, `{"@odata.type":"#x","id"`, 1),
		"alerts that are none": strings.Replace(hashedIncident, `"alerts":[]`, `"alerts":7`, 1),
	}
	for name, record := range tests {
		h := incidentHash(t, record)
		if other, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[h] = name
	}
}

func TestHashOfAlertCoversItsEvidence(t *testing.T) {
	all := sampleEvidence[:]
	want := alertHash(t, sampleAlert("a", 1, all...))
	turned := slices.Clone(all)
	slices.Reverse(turned)
	if alertHash(t, sampleAlert("a", 1, turned...)) != want {
		t.Error("the order of evidence counts")
	}
	tests := map[string]string{
		"less":       sampleAlert("a", 1, all[1:]...),
		"none":       sampleAlert("a", 1),
		"twice":      sampleAlert("a", 1, append(slices.Clone(all), all[0])...),
		"changed":    strings.Replace(sampleAlert("a", 1, all...), `"verdict":"malicious"`, `"verdict":"suspicious"`, 1),
		"other type": strings.Replace(sampleAlert("a", 1, all...), `security.ipEvidence`, `security.urlEvidence`, 1),
		"the alert":  strings.Replace(sampleAlert("a", 1, all...), `"status":"new"`, `"status":"resolved"`, 1),
	}
	seen := map[[16]byte]string{want: "the first"}
	for name, record := range tests {
		h := alertHash(t, record)
		if other, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[h] = name
	}
}

// What else is on the page does not count.
func TestHashOfAlertIsItsOwn(t *testing.T) {
	record := sampleAlert("a", 1, sampleEvidence[:]...)
	page := Alerts(sampleTenant, jsonRecords([]string{sampleAlert("b", 1, sampleEvidence[0]), record}), translatedAt)
	if page.Alerts[1].ContentHash != alertHash(t, record) {
		t.Error("the alert before it counts")
	}
}

// The same alert has the same hash in its incident and in its own stream.
func TestHashOfAlertIsTheSameEverywhere(t *testing.T) {
	alert := sampleAlert("a", 1, sampleEvidence[:]...)
	inline := translated(defender.Graph, sampleIncident(1, alert)).Alerts[0]
	own := strings.Replace(alert, `{"@odata.type"`, `{"@odata.context":"https://graph/$metadata","@odata.type"`, 1)
	if alertHash(t, own) != inline.ContentHash {
		t.Error("two hashes for one alert")
	}
	// The time of the reading is not part of it.
	later := Alerts(sampleTenant, jsonRecords([]string{alert}), translatedAt.Add(time.Hour)).Alerts[0]
	if later.ContentHash != inline.ContentHash {
		t.Error("the hash depends on when it was made")
	}
}

// The canonical form is the same for every order and spacing of any document,
// and differs when the document does.
func TestCanonicalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := anyJSON(3).Draw(t, "doc")
		plain, err := json.Marshal(doc) // sorts names
		if err != nil {
			t.Fatal(err)
		}
		shuffled := shuffledJSON(t, doc)
		var a, b contentHasher
		if got, want := string(b.canon([]byte(shuffled))), string(a.canon(plain)); got != want {
			t.Fatalf("%s and %s: %s and %s", plain, shuffled, want, got)
		}
		var again any
		if err := json.Unmarshal(a.canon(plain), &again); err != nil {
			t.Fatal(err)
		}
		if back, _ := json.Marshal(again); !bytes.Equal(back, plain) {
			t.Fatalf("%s became %s", plain, back)
		}
	})
}

// anyJSON draws a document of at most depth levels.
func anyJSON(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.IntRange(-1<<53, 1<<53).AsAny(),
		rapid.StringMatching(`[a-zé"\\ ]{0,6}`).AsAny(),
	}
	if depth > 0 {
		inner := rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(depth - 1) })
		kinds = append(kinds, rapid.SliceOfN(inner, 0, 4).AsAny(), rapid.MapOfN(rapid.StringMatching(`[a-cé"]{0,3}`), inner, 0, 4).AsAny())
	}
	return rapid.OneOf(kinds...)
}

// shuffledJSON writes a document with its names in any order and odd spacing.
func shuffledJSON(t *rapid.T, doc any) string {
	switch doc := doc.(type) {
	case map[string]any:
		names := make([]string, 0, len(doc))
		for name := range doc {
			names = append(names, name)
		}
		slices.Sort(names)
		var parts []string
		for _, name := range rapid.Permutation(names).Draw(t, "names") {
			quoted, _ := jsontext.AppendQuote(nil, name)
			parts = append(parts, string(quoted)+" : "+shuffledJSON(t, doc[name]))
		}
		return "{ " + strings.Join(parts, " ,\n") + "}"
	case []any:
		var parts []string
		for _, inner := range doc {
			parts = append(parts, shuffledJSON(t, inner))
		}
		return "[" + strings.Join(parts, "\t, ") + " ]"
	}
	b, _ := json.Marshal(doc)
	return string(b)
}
