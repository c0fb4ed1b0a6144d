package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"defendersync/migrations"
	"defendersync/store"
)

const (
	oldestPostgres = 140000  // server_version_num
	leastDisk      = 1 << 30 // bytes free for the private PostgreSQL
)

// examineDatabase checks the database, or says why it cannot.
func examineDatabase(ctx context.Context, r *report, c *config, db *database, openErr error) {
	if openErr != nil {
		r.fail("database", "", openErr, "start the server or correct database.url; with none, the private PostgreSQL needs server binaries")
		for _, check := range []string{"privileges", "migrations"} {
			r.skip(check, "", "the database cannot be opened")
		}
	} else {
		examineServer(ctx, r, c, db)
		examineMigrations(ctx, r, c, db)
	}
	examineDisk(r, c)
}

func examineServer(ctx context.Context, r *report, c *config, db *database) {
	info, err := db.Database(ctx)
	if err != nil {
		r.fail("database", "", err, "check that the server is up and lets the role in")
		r.skip("privileges", "", "the database does not answer")
		return
	}
	switch {
	case info.VersionNo < oldestPostgres:
		r.fail("database", info.Name, fmt.Errorf("PostgreSQL %s is too old", info.Version), "use PostgreSQL 14 or newer")
	case info.ReadOnly:
		r.fail("database", info.Name, errors.New("the database is read-only"), "point database.url at the primary, with a role that may write")
	default:
		r.ok("database", info.Name, "PostgreSQL %s, %d MB", info.Version, info.SizeBytes>>20)
	}
	examinePrivileges(r, c, info)
}

// examinePrivileges checks what the role may do; where an operator migrates, it
// need not be able to.
func examinePrivileges(r *report, c *config, info store.DatabaseInfo) {
	missing := info.MissingPrivileges
	if c.Database.AutoMigrate {
		missing = slices.Concat(info.MissingToMigrate, missing)
	}
	switch {
	case len(missing) > 0:
		r.fail("privileges", info.Role, errors.New("the role lacks privileges"), "as the owner run: "+strings.Join(missing, "; "))
	case !c.Database.AutoMigrate:
		r.ok("privileges", info.Role, "may read and write; an operator migrates")
	case info.SchemaOwner != "":
		r.ok("privileges", info.Role, "may read, write and make hunting tables; %s migrates", info.SchemaOwner)
	default:
		r.ok("privileges", info.Role, "may migrate, read and write")
	}
}

func examineMigrations(ctx context.Context, r *report, c *config, db *database) {
	all, err := migrations.Status(ctx, db.Pool())
	switch {
	case errors.As(err, new(*migrations.NewerError)):
		r.fail("migrations", "", err, "use the version of defendersync that migrated the database, or a newer one")
		return
	case err != nil:
		r.fail("migrations", "", err, schemaAdvice)
		return
	}
	pending := 0
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			pending++
		}
	}
	switch {
	case pending == 0:
		r.ok("migrations", "", "%d applied", len(all))
	case c.Database.AutoMigrate:
		r.ok("migrations", "", "%d of %d pending; run and sync apply them", pending, len(all))
	default:
		r.fail("migrations", "", fmt.Errorf("%d of %d pending, and database.auto_migrate is off", pending, len(all)),
			"apply what `defendersync migrate sql` prints, or "+schemaAdvice)
	}
}

// examineDisk looks at the disk of the private PostgreSQL; another server's is
// not ours to see.
func examineDisk(r *report, c *config) {
	if c.Database.URL != "" {
		r.skip("disk", "", "the database server's disk cannot be seen from here")
		return
	}
	free, err := freeBytes(c.DataDir)
	switch {
	case err != nil:
		r.fail("disk", c.DataDir, err, "make the directory, or correct data_dir")
	case free < leastDisk:
		r.fail("disk", c.DataDir, fmt.Errorf("%d MB free", free>>20), "free at least 1 GB, or move data_dir")
	default:
		r.ok("disk", c.DataDir, "%d MB free", free>>20)
	}
}
