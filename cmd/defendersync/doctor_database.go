package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
		r.fail("database", "", openErr, "start or correct the server, or correct database.url, as the failure says; with no URL, the private PostgreSQL needs server binaries")
		for _, check := range []string{"privileges", "migrations"} {
			r.skip(check, "", "the database cannot be opened")
		}
	} else {
		info := examineServer(ctx, r, c, db)
		examineMigrations(ctx, r, c, db, info)
	}
	examineDisk(r, c)
}

func examineServer(ctx context.Context, r *report, c *config, db *database) store.DatabaseInfo {
	info, err := db.Database(ctx)
	if err != nil {
		r.fail("database", "", err, "check that the server is up and lets the role in")
		r.skip("privileges", "", "the database does not answer")
		return info
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
	return info
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

func examineMigrations(ctx context.Context, r *report, c *config, db *database, info store.DatabaseInfo) {
	all, err := migrations.Status(ctx, db.Pool())
	switch {
	case errors.As(err, new(*migrations.NewerError)):
		r.fail("migrations", "", err, "use the version of defendersync that migrated the database, or a newer one")
		return
	case err != nil:
		r.fail("migrations", "", err, schemaAdvice)
		return
	}
	p := countPending(all, c.Streams.huntingTables())
	switch {
	case p.files+p.generated == 0:
		r.ok("migrations", "", "%s%s", p, p.aside())
	case !c.Database.AutoMigrate:
		r.fail("migrations", "", fmt.Errorf("%s, and database.auto_migrate is off", p),
			"apply what `defendersync migrate sql` prints, or "+schemaAdvice)
	case p.files > 0 && info.SchemaOwner != "":
		r.fail("migrations", "", fmt.Errorf("%s, and the role does not own what they change", p),
			fmt.Sprintf("run `defendersync migrate up` as the role that does, %s", info.SchemaOwner))
	case examineTables(ctx, r, db, p.waiting):
		r.ok("migrations", "", "%s; run and sync apply them%s", p, p.aside())
	}
}

// examineTables tries what is pending for the tables of streams, and reports those
// for which it fails.
func examineTables(ctx context.Context, r *report, db *database, waiting map[string]string) bool {
	well := true
	for _, table := range slices.Sorted(maps.Keys(waiting)) {
		if err := migrations.TryHunting(ctx, db.Pool(), table); err != nil {
			well = false
			r.fail("migrations", waiting[table], err, "give the stream what it lacks, or another name; it alone waits, "+
				"and `defendersync migrate down` forgets a migration that is not applied")
		}
	}
	return well
}

// pendingCount is how many migrations are applied, and how many are not. Those
// that the program brings are apart from the generated ones of hunting tables,
// which are there only after a first answer.
type pendingCount struct {
	applied, files  int               // of the program's: applied, and pending
	made, generated int               // of hunting tables: applied, and pending
	waiting         map[string]string // what streams generated ones are pending for, by table
	needless        int               // of no stream that is enabled here
}

// String says how many are pending, or else applied, of each.
func (p pendingCount) String() string {
	state := func(applied, pending int) string {
		if pending > 0 {
			return fmt.Sprintf("%d of %d pending", pending, applied+pending)
		}
		return fmt.Sprintf("%d applied", applied)
	}
	if p.made+p.generated == 0 {
		return state(p.applied, p.files)
	}
	return state(p.applied, p.files) + ", and of hunting tables " + state(p.made, p.generated)
}

func countPending(all []migrations.Migration, streams map[string]string) pendingCount {
	p := pendingCount{waiting: make(map[string]string)}
	for _, m := range all {
		stream := streams[m.Table]
		switch {
		case !m.AppliedAt.IsZero() && m.Table == "":
			p.applied++
		case !m.AppliedAt.IsZero():
			p.made++
		case m.Table == "":
			p.files++
		case stream != "":
			p.generated++
			p.waiting[m.Table] = stream
		default:
			p.needless++
		}
	}
	return p
}

// aside mentions what nobody waits for.
func (p pendingCount) aside() string {
	if p.needless == 0 {
		return ""
	}
	return fmt.Sprintf("; %d pending that no stream here needs", p.needless)
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
