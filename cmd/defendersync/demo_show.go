package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5/pgconn"
)

// demoQueries is statements that end in a semicolon and a blank line, each after
// a comment of one line that is its title.
//
//go:embed demo.sql
var demoQueries string

// showDemo runs the demo's queries and prints each with its answer.
func showDemo(ctx context.Context, w io.Writer, db *database) error {
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
		fmt.Fprintf(w, "\n%s\n\n", title)
		if err := printRows(w, results[0]); err != nil {
			return err
		}
	}
	return nil
}

// printRows writes an answer in aligned columns.
func printRows(w io.Writer, r *pgconn.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var names []string
	for _, f := range r.FieldDescriptions {
		names = append(names, strings.ToUpper(f.Name))
	}
	fmt.Fprintln(t, "  "+strings.Join(names, "\t"))
	for _, row := range r.Rows {
		var cells []string
		for _, cell := range row {
			cells = append(cells, string(cell))
		}
		fmt.Fprintln(t, "  "+strings.Join(cells, "\t"))
	}
	return t.Flush()
}
