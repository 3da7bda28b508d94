package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// backupCommand copies a SQLite database to a new file. The server may go on writing meanwhile.
func backupCommand(ctx context.Context, in *invocation) error {
	path := in.args[0]
	switch {
	case path == "" || path == "-":
		return usageErrorf("a backup does not go to standard output; want the name of a new file")
	case isPostgres(in.cfg.DatabaseURL):
		return usageErrorf("backup is for SQLite files; for a PostgreSQL database use pg_dump")
	}
	if err := checkNoCompanions(path); err != nil {
		return err
	}
	var copied snapshot
	err := createFile(path, func(file *os.File) (err error) {
		copied, err = in.backUp(ctx, file)
		return err
	})
	if err != nil {
		return interrupted(ctx, err)
	}
	return in.printf("backed up %s", copied)
}

// backUp copies the database that the settings name to an empty file.
func (in *invocation) backUp(ctx context.Context, file *os.File) (snapshot, error) {
	in.printWarnings()
	db, err := openDatabase(in.cfg.DatabaseURL, leaveSchema, in.newLog())
	if err != nil {
		return snapshot{}, explainMissing(in.cfg.DatabaseURL, err)
	}
	defer db.Close()
	copied, err := copySQLite(ctx, db, file.Name(), time.Now())
	if err != nil {
		return snapshot{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return snapshot{}, withoutPath(err)
	}
	copied.bytes = info.Size()
	return copied, nil
}

// checkNoCompanions fails if a file lies where SQLite keeps unfinished changes of the database at
// path. SQLite would mix it into the copy.
func checkNoCompanions(path string) error {
	for _, suffix := range []string{"-wal", "-journal"} {
		if _, err := os.Lstat(path + suffix); err == nil {
			return fmt.Errorf("%s is left of another database, and SQLite would mix it into the backup; want another name, or that file removed", printable(path+suffix))
		}
	}
	return nil
}
