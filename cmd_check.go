package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"text/tabwriter"
	"time"
)

// checkCommand tries the address and the database that the settings name, counts the users and
// the kinds of their password hashes, and prints the settings in effect. It fails if the start
// would, and changes nothing.
func checkCommand(ctx context.Context, in *invocation) error {
	found, err := inspectStore(ctx, in.cfg)
	if err := errors.Join(checkAddresses(in.cfg), err); err != nil {
		return err
	}
	for _, warning := range append(in.cfg.Warnings, found.warnings...) {
		fmt.Fprintln(in.stdout, "warning:", warning)
	}
	fmt.Fprintf(in.stdout, "ok: would listen on %s, sign with %s, keep users in %s\n", in.cfg.Addr, in.cfg.Algorithm, found.where)
	if found.hashes != nil {
		fmt.Fprintf(in.stdout, "users: %s\n", found.hashes)
	}
	return printSettings(in.cfg.InEffect, in.stdout)
}

// printSettings prints settings, and where each has come from.
func printSettings(all []settingInEffect, w io.Writer) error {
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SETTING\tFROM\tVALUE")
	for _, s := range all {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", s.name, s.source, s.value)
	}
	return tw.Flush()
}

// checkAddresses listens for a moment where the server would.
func checkAddresses(cfg config) error {
	ln, err := listen(cfg.Addr, byAddr)
	if err != nil {
		return err
	}
	defer ln.Close()
	if cfg.MetricsAddr == "" {
		return nil
	}
	forMetrics, err := listen(cfg.MetricsAddr, byMetricsAddr)
	if err != nil {
		return err
	}
	return forMetrics.Close()
}

// An inspection is what check finds out about a store.
type inspection struct {
	where    string
	warnings []string
	hashes   *hashCensus // nil if the users cannot be read yet
}

// inspectStore looks at the store that the settings name. It fails unless the database answers at
// once and does what the start will need.
func inspectStore(ctx context.Context, cfg config) (inspection, error) {
	url := cfg.DatabaseURL
	if url == "" {
		return inspection{where: "memory"}, nil
	}
	db, err := openDatabase(url, readWrite, slog.New(slog.DiscardHandler))
	if errors.Is(err, fs.ErrNotExist) {
		path, _ := sqlitePath(url)
		return inspection{where: "a new SQLite file, " + path}, nil
	}
	if err != nil {
		return inspection{}, err
	}
	defer db.Close()
	current, target, err := db.rehearse(ctx)
	if err != nil {
		return inspection{}, err
	}
	found := inspection{where: fmt.Sprintf("%s, whose schema has version %d", db.name, current), warnings: db.warnings}
	if current < target {
		found.where += fmt.Sprintf(" and would get %d", target)
		return found, nil
	}
	if cfg.OwnKeys == nil {
		rows, err := (sqlStore{db}).SigningKeys(ctx)
		if err != nil {
			return inspection{}, err
		}
		current := newRing(rows, cfg.secrets(), 0)
		found.warnings = append(found.warnings, current.warnings(time.Now())...)
	}
	found.hashes = newHashCensus(cfg.Rounds)
	for u, err := range (sqlStore{db}).Users(ctx) {
		if err != nil {
			return inspection{}, err
		}
		found.hashes.add(u)
	}
	if warning := found.hashes.warning(ctx); warning != "" {
		found.warnings = append(found.warnings, warning)
	}
	return found, nil
}
