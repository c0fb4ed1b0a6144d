package defendersim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A query is the options of a list request, checked.
type query struct {
	filter filter
	order  []orderBy
	top    int // page size
	skip   int
	expand bool // $expand=alerts
	count  bool // $count=true
}

type orderBy struct {
	field field
	desc  bool
}

// badQuery is a refusal of a query option.
type badQuery struct {
	message string
	code    string // of the Graph's error body, which is empty for $top
}

func (e *badQuery) Error() string { return e.message }

func refuse(format string, args ...any) error {
	return &badQuery{fmt.Sprintf(format, args...), "BadRequest"}
}

// A list is one collection of an API: what may be asked of it.
type list struct {
	syntax  syntax
	top     int // the most that $top may ask for
	page    int // size when $top is left out
	options map[string]bool
}

var (
	graphIncidentList = list{graphIncidentSyntax, 50, 50, members("$filter", "$top", "$skip", "$skiptoken", "$orderby", "$expand", "$count")}
	graphAlertList    = list{graphAlertSyntax, 1000, 100, members("$filter", "$top", "$skip", "$skiptoken", "$orderby", "$count")}
	olderList         = list{olderSyntax, 100, 100, members("$filter", "$top", "$skip")}
)

// parse checks the options of a request.
func (l *list) parse(v url.Values) (q query, err error) {
	for k := range v {
		if strings.HasPrefix(k, "$") && !l.options[k] {
			return q, refuse("The query parameter '%s' is not supported.", k)
		}
	}
	q.top = l.page
	if err := l.parseTop(v, &q); err != nil {
		return q, err
	}
	if q.skip, err = natural("$skip", v); err != nil {
		return q, err
	}
	if t := v.Get("$skiptoken"); t != "" {
		if q.skip, err = parseToken(t); err != nil {
			return q, err
		}
	}
	if text := v.Get("$filter"); text != "" || v.Has("$filter") {
		if q.filter, err = parseFilter(text, l.syntax); err != nil {
			return q, err
		}
	}
	if q.order, err = l.parseOrder(v.Get("$orderby")); err != nil {
		return q, err
	}
	if x := v.Get("$expand"); x != "" && x != "alerts" {
		return q, refuse("Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.security.incident'.", x)
	}
	q.expand, q.count = v.Get("$expand") == "alerts", v.Get("$count") == "true"
	return q, nil
}

func (l *list) parseTop(v url.Values, q *query) error {
	if !v.Has("$top") {
		return nil
	}
	n, err := natural("$top", v)
	if err != nil {
		return err
	}
	if n > l.top {
		return &badQuery{message: fmt.Sprintf("The query specified in the URI is not valid. The limit of '%d' for Top query has been exceeded. The value from the incoming request is '%d'.", l.top, n)}
	}
	q.top = n
	return nil
}

func natural(name string, v url.Values) (int, error) {
	text := v.Get(name)
	if text == "" && !v.Has(name) {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, refuse("Invalid value '%s' for %s query option found. The %s query option requires a non-negative integer value.", text, name, name)
	}
	return int(n), nil
}

func (l *list) parseOrder(text string) ([]orderBy, error) {
	if text == "" {
		return nil, nil
	}
	var order []orderBy
	for _, part := range strings.Split(text, ",") {
		words := strings.Fields(part)
		if len(words) == 0 || len(words) > 2 || len(words) == 2 && words[1] != "asc" && words[1] != "desc" {
			return nil, refuse("Syntax error in $orderby '%s'.", text)
		}
		f, ok := l.syntax[words[0]]
		if !ok {
			return nil, refuse("Could not find a property named '%s'.", words[0])
		}
		order = append(order, orderBy{f, len(words) == 2 && words[1] == "desc"})
	}
	return order, nil
}

// Skip tokens are opaque to a client: they hold the number of records before
// the page.
const tokenPrefix = "eyJvZmZzZXQi"

func skipToken(n int) string { return tokenPrefix + strconv.FormatInt(int64(n), 36) }

func parseToken(t string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(t, tokenPrefix), 36, 32)
	if err != nil || !strings.HasPrefix(t, tokenPrefix) {
		return 0, refuse("Invalid skip token.")
	}
	return int(n), nil
}

// Order is what a list does about $orderby.
type Order int

const (
	// OrderAsked sorts as $orderby asks, newest first when it does not.
	OrderAsked Order = iota
	// OrderNewest ignores $orderby: newest first.
	OrderNewest
	// OrderNone ignores $orderby: an order that follows nothing, but stays.
	OrderNone
	// OrderShuffled gives another order to each request.
	OrderShuffled
)

// sorted puts records, which come by last update, into the order asked for.
func sorted(records []record, by []orderBy, o Order, request uint64) {
	switch {
	case o == OrderShuffled:
		r := rand.New(rand.NewPCG(request, 0x73687566))
		r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	case o == OrderNone:
		slices.SortStableFunc(records, func(a, b record) int { return int(scramble(a)) - int(scramble(b)) })
	case o == OrderAsked && len(by) == 1 && by[0] == orderBy{lastUpdate, false}: // as they come
	case o == OrderAsked && len(by) > 0:
		slices.SortStableFunc(records, func(a, b record) int { return compareBy(a, b, by) })
	default:
		slices.Reverse(records)
	}
}

func scramble(r record) uint32 {
	h := fnv.New32a()
	h.Write([]byte(r.id()))
	return h.Sum32()
}

func compareBy(a, b record, by []orderBy) int {
	for _, o := range by {
		c := 0
		switch o.field {
		case lastUpdate:
			c = a.updated().Compare(b.updated())
		case created:
			c = a.created().Compare(b.created())
		default:
			c = strings.Compare(a.text(o.field), b.text(o.field))
		}
		if o.desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
