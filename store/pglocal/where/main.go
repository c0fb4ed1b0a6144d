// Command where prints the directory of the PostgreSQL server binaries that a
// private server would use here, as the search and the account of package
// pglocal see it. Without any it says how to get them and exits 1.
package main

import (
	"fmt"
	"os"

	"defendersync/store/pglocal"
)

func main() {
	dir, err := pglocal.Find("")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
