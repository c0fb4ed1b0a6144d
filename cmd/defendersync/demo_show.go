package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// demoQueries is statements that end in a semicolon and a blank line, each after
// a comment of one line that is its title.
//
//go:embed demo.sql
var demoQueries string

// showDemo runs the demo's queries and prints each with its answer.
func showDemo(ctx context.Context, w io.Writer, l look, db *database) error {
	conn, err := db.Pool().Acquire(ctx)
	if err != nil {
		return fmt.Errorf("query the demo's database: %w", err)
	}
	defer conn.Release()
	for _, statement := range strings.Split(strings.TrimSpace(demoQueries), "\n\n") {
		title, query, _ := strings.Cut(strings.TrimPrefix(statement, "-- "), "\n")
		results, err := conn.Conn().PgConn().Exec(ctx, query).ReadAll() // answers in text, as psql shows them
		if err != nil {
			return fmt.Errorf("query the demo's database: %w", err)
		}
		fmt.Fprintf(w, "\n%s\n\n", l.in(strong, title))
		if err := printRows(w, l, results[0]); err != nil {
			return err
		}
	}
	return nil
}

// printRows writes an answer in aligned columns, numbers at their right.
func printRows(w io.Writer, l look, r *pgconn.Result) error {
	var columns []column
	for _, f := range r.FieldDescriptions {
		numeric := slices.Contains([]uint32{pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.NumericOID}, f.DataTypeOID)
		columns = append(columns, column{name: strings.ToUpper(f.Name), right: numeric, elastic: !numeric})
	}
	t := newTable(columns...)
	for _, row := range r.Rows {
		var cells []string
		for i, cell := range row {
			cells = append(cells, people(string(cell), columns[i].right))
		}
		t.add(cells...)
	}
	return t.print(w, l)
}

// people writes a whole number as people read it.
func people(cell string, numeric bool) string {
	n, err := strconv.ParseInt(cell, 10, 64)
	if !numeric || err != nil {
		return cell
	}
	return grouped(n)
}
