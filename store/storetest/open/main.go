// Command open shows the database that a failed test left: it starts the
// server again, runs psql on the database, and stops the server.
//
//	go run defendersync/store/storetest/open DIR DATABASE
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"defendersync/store/pglocal"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: open DIR DATABASE")
		os.Exit(2)
	}
	if err := open(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func open(dir, database string) (err error) {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("open a kept database: %w", err)
	}
	signal.Ignore(os.Interrupt) // psql's: it cancels a query
	ctx := context.Background()
	server, err := pglocal.Start(ctx, pglocal.Options{Dir: dir, Throwaway: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(ctx)) }()
	psql := exec.Command("psql", server.URL(database))
	psql.Stdin, psql.Stdout, psql.Stderr = os.Stdin, os.Stdout, os.Stderr
	return psql.Run()
}
