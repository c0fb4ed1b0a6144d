package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// migration is one generated migration before it has a number.
type migration struct{ name, up, down string }

// hunting returns the name of a table or view in the schema hunting, quoted.
func hunting(name string) string { return pgx.Identifier{"hunting", name}.Sanitize() }

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a text of the source's. No line ends in it: goose reads
// migrations line by line.
func literal(text string) string {
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`)
	quoted := escape.Replace(CleanText(text))
	if strings.Contains(quoted, `\`) {
		return `E'` + quoted + `'`
	}
	return `'` + quoted + `'`
}

// create is the migration that makes the table.
func (t *huntTable) create(spec *HuntSpec, columns []tableColumn) migration {
	name := hunting(t.name)
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (\n    tenant_id uuid NOT NULL,\n    row_key uuid NOT NULL,\n    row_hash uuid NOT NULL,\n", name)
	key := "tenant_id, row_key"
	if spec.Mode == HuntSnapshot {
		b.WriteString("    valid_from timestamptz NOT NULL,\n    valid_to timestamptz,\n")
		key += ", valid_from"
	}
	for _, c := range columns {
		fmt.Fprintf(&b, "    %s %s,\n", quote(c.name), c.kind)
	}
	fmt.Fprintf(&b, "    extra jsonb,\n    synced_at timestamptz NOT NULL,\n    PRIMARY KEY (%s)", key)
	if spec.Mode == HuntSnapshot {
		b.WriteString(",\n    CHECK (valid_from <= valid_to)")
	}
	b.WriteString("\n);\n\n")
	fmt.Fprintf(&b, "COMMENT ON TABLE %s IS %s;\n", name, literal(spec.Name+": "+modeIs[spec.Mode]))
	commentOwn(&b, name, spec)
	comment(&b, name, columns)
	if spec.Mode == HuntSnapshot {
		fmt.Fprintf(&b, "\nCREATE UNIQUE INDEX ON %s (tenant_id, row_key) WHERE valid_to IS NULL;\n", name)
		t.view(&b, spec, columns)
	}
	t.timeIndex(&b, spec, columns)
	down := ""
	if spec.Mode == HuntSnapshot {
		down = fmt.Sprintf("DROP VIEW IF EXISTS %s;\n", hunting(t.name+"_current"))
	}
	return migration{name: t.name, up: b.String(), down: down + fmt.Sprintf("DROP TABLE IF EXISTS %s;", name)}
}

// widen is the migration that adds columns.
func (t *huntTable) widen(spec *HuntSpec, columns []tableColumn) migration {
	name := hunting(t.name)
	var add, drop []string
	for _, c := range columns {
		add = append(add, fmt.Sprintf("    ADD COLUMN %s %s", quote(c.name), c.kind))
		drop = append(drop, "    DROP COLUMN IF EXISTS "+quote(c.name))
	}
	var up, down strings.Builder
	fmt.Fprintf(&up, "ALTER TABLE %s\n%s;\n\n", name, strings.Join(add, ",\n"))
	comment(&up, name, columns)
	alter := fmt.Sprintf("ALTER TABLE IF EXISTS %s\n%s;\n", name, strings.Join(drop, ",\n"))
	if spec.Mode == HuntSnapshot {
		t.view(&up, spec, slices.Concat(t.columns, columns))
		fmt.Fprintf(&down, "DROP VIEW IF EXISTS %s;\n%s", hunting(t.name+"_current"), alter)
		t.view(&down, spec, t.columns)
	} else {
		down.WriteString(alter)
	}
	t.timeIndex(&up, spec, columns)
	return migration{name: t.name + "_columns", up: up.String(), down: down.String()}
}

// view writes the view of the rows that are valid now. All columns, in the
// table's order: those added later come last in both.
func (t *huntTable) view(b *strings.Builder, spec *HuntSpec, columns []tableColumn) {
	name := hunting(t.name + "_current")
	fmt.Fprintf(b, "\nCREATE OR REPLACE VIEW %s AS\nSELECT *\nFROM %s\nWHERE valid_to IS NULL;\n\n", name, hunting(t.name))
	fmt.Fprintf(b, "COMMENT ON VIEW %s IS 'The rows of hunting.%s that the last complete result has.';\n", name, t.name)
	commentOwn(b, name, spec)
	comment(b, name, columns)
}

// timeIndex writes the index on the time column, where that is one of columns.
// Rows arrive in about the order of their time, and an index of block ranges
// costs next to nothing then.
func (t *huntTable) timeIndex(b *strings.Builder, spec *HuntSpec, columns []tableColumn) {
	for _, c := range columns {
		if spec.TimeColumn != "" && strings.EqualFold(c.served, spec.TimeColumn) && c.kind == kindTime {
			fmt.Fprintf(b, "\nCREATE INDEX ON %s USING brin (%s) WITH (autosummarize = on);\n", hunting(t.name), quote(c.name))
			return
		}
	}
}

// comment writes the original name of each column of a table or view.
func comment(b *strings.Builder, name string, columns []tableColumn) {
	for _, c := range columns {
		fmt.Fprintf(b, "COMMENT ON COLUMN %s.%s IS %s;\n", name, quote(c.name), literal(c.served))
	}
}

// modeIs says what a table of a mode holds.
var modeIs = map[HuntMode]string{
	HuntEvents:   "every distinct row ever returned.",
	HuntReplace:  "the rows of the last complete result.",
	HuntSnapshot: "complete results as validity ranges.",
}

// commentOwn writes what each column of a table or view is that is not served.
func commentOwn(b *strings.Builder, name string, spec *HuntSpec) {
	about := map[string]string{
		"tenant_id":  "The tenant, as configured: its Microsoft Entra tenant id.",
		"row_key":    "Digest of what identifies the row; begins with its time where that is part of it.",
		"row_hash":   "Digest of the content: an equal row is not written again.",
		"valid_from": "When the row was first seen with this content.",
		"valid_to":   "When a complete result had it no more, or with another content; NULL while it is valid.",
		"extra":      "Values that do not fit their columns, and members that no column is for, as served; by name.",
		"synced_at":  "When this version of the row was stored.",
	}
	for _, c := range slices.Sorted(slices.Values(spec.ownColumns())) {
		fmt.Fprintf(b, "COMMENT ON COLUMN %s.%s IS %s;\n", name, quote(c), literal(about[c]))
	}
}
