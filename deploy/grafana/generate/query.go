package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
)

// The data source that deploy/grafana/provisioning makes.
const (
	sourceType = "grafana-postgresql-datasource"
	sourceUID  = "defendersync"
)

func source() *common.DataSourceRef {
	return &common.DataSourceRef{Type: new(sourceType), Uid: new(sourceUID)}
}

// format says what Grafana makes of the rows.
type format string

const (
	rows   format = "table"
	series format = "time_series" // needs a column time, in order; a column metric names the series
)

// query is what Grafana keeps of a PostgreSQL query, which its types do not know.
type query struct {
	RefID      string                `json:"refId"`
	Datasource *common.DataSourceRef `json:"datasource"`
	EditorMode string                `json:"editorMode"`
	Format     format                `json:"format"`
	RawQuery   bool                  `json:"rawQuery"`
	RawSQL     string                `json:"rawSql"`
}

func newQuery(f format, sql string) *query {
	return &query{"A", source(), "code", f, true, chosen(sql) + "\n"}
}

// What nearly every query has stands in SQL here as {tenant} and {severity}, or as
// {t.tenant} for the table t. They compare columns and no expressions of them: of
// those PostgreSQL has no statistics, takes them for rare, and looks up one by one
// what is nearly everything. No tenant is chosen in a database that is still empty.
//
// {incident} is the one that is chosen, as TENANT/NUMBER: a number alone is of as many
// incidents as there are tenants. What is not written so finds nothing.
const (
	ofTenant   = "T.tenant_id = ANY (array_remove(ARRAY[${tenant:sqlstring}]::text[], '')::uuid[])"
	ofIncident = "T.tenant_id = substring(${incident:sqlstring} FROM '^([0-9a-f-]{36})/')::uuid" +
		" AND T.incident_id = substring(${incident:sqlstring} FROM '/([0-9]{1,18})$')::bigint"
	ofSeverity = "(T.severity IN (${severity:sqlstring})" +
		" OR 'other' IN (${severity:sqlstring}) AND coalesce(T.severity NOT IN ('high', 'medium', 'low', 'informational'), true))"
)

var condition = regexp.MustCompile(`\{(\w+\.)?(tenant|incident|severity)\}`)

// chosen puts the conditions in.
func chosen(sql string) string {
	return condition.ReplaceAllStringFunc(strings.TrimSpace(sql), func(s string) string {
		m := condition.FindStringSubmatch(s)
		return strings.ReplaceAll(map[string]string{"tenant": ofTenant, "incident": ofIncident, "severity": ofSeverity}[m[2]], "T.", m[1])
	})
}

// ImplementsDataqueryVariant and what follows is the interface of a query.
func (*query) ImplementsDataqueryVariant() {}

// DataqueryType names the data source's plugin.
func (*query) DataqueryType() string { return sourceType }

// Equals compares all of it.
func (q *query) Equals(other variants.Dataquery) bool {
	o, ok := other.(*query)
	return ok && q.RefID == o.RefID && q.Format == o.Format && q.RawSQL == o.RawSQL
}

// Validate refuses what Grafana would show as an empty panel.
func (q *query) Validate() error {
	if strings.TrimSpace(q.RawSQL) == "" {
		return errors.New("a query without SQL")
	}
	return nil
}

// queryVariant lets Grafana's types read one back, unknown keys refused.
func queryVariant() variants.DataqueryConfig {
	read := func(raw []byte) (variants.Dataquery, error) {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		q := &query{}
		return q, d.Decode(q)
	}
	return variants.DataqueryConfig{Identifier: sourceType, DataqueryUnmarshaler: read, StrictDataqueryUnmarshaler: read}
}
