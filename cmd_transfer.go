package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
)

const (
	aboutImport = "FILE has a JSON object for each user, each on a line, or is what GET / of the original answers; - is standard input. " +
		"It adds nobody if a line is bad, and never changes a user who is there. To go on after an interruption, repeat it. See docs/moving-in.md."
	aboutExport = "It prints what import reads, on standard output unless that is a terminal."
)

// How many problems of a file are named.
const (
	problemsNamed    = 20
	maxProblemsNamed = 100_000 // with -v
)

// importUsersCommand adds users from a file.
func importUsersCommand(ctx context.Context, in *invocation) error {
	path := in.args[0]
	if path == "-" && in.flags.IsSet("try") {
		return errUsage("-try: standard input has the users; want a file, so that it can have the password")
	}
	if in.cfg.DatabaseURL == "" {
		return errInMemory
	}
	file, closer, err := openImport(path, in.stdin)
	if err != nil {
		return err
	}
	defer closer.Close()
	if in.flags.Bool("dry-run") {
		return in.withStoreAsItIs(ctx, func(a *accounts) error { return in.importFile(ctx, a, file) })
	}
	return in.withAccounts(ctx, toCreate, func(a *accounts) error { return in.importFile(ctx, a, file) })
}

// withStoreAsItIs is withAccounts for a command that only reads. A SQLite file that is not there
// is an empty store.
func (in *invocation) withStoreAsItIs(ctx context.Context, do func(*accounts) error) error {
	path, isFile := strings.CutPrefix(in.cfg.DatabaseURL, sqlitePrefix)
	if _, err := os.Stat(path); isFile && errors.Is(err, fs.ErrNotExist) {
		return do(newAccounts(in.cfg, newMemStore(), slog.New(slog.DiscardHandler)))
	}
	return in.withAccounts(ctx, toRead, do)
}

// errRefused means that lines of a file were bad. They have been named.
var errRefused = errors.New("nothing was added, because of these; -skip-bad leaves them out")

// importFile checks a file, and adds its users unless this is a dry run.
func (in *invocation) importFile(ctx context.Context, a *accounts, file *importFile) error {
	i := newImporter(a, file)
	i.try = usernameKey(in.flags.String("try"))
	i.keep = problemsNamed
	if in.flags.Bool("v") {
		i.keep = maxProblemsNamed
	}
	if err := in.checkImport(ctx, i); err != nil {
		return err
	}
	dry, skip := in.flags.Bool("dry-run"), in.flags.Bool("skip-bad")
	if len(i.bad) > 0 && !skip && !dry {
		return errRefused
	}
	if !dry {
		debug.FreeOSMemory() // which the check has used; the store will use as much
		bar := in.newProgress("adding", file)
		i.progress = bar.show
		err := i.write(ctx)
		bar.end()
		if err != nil {
			return stoppedEarly(ctx, err, i.added)
		}
		i.record(ctx, actor())
	}
	if err := in.report("%s", i.summary(dry)); err != nil {
		return err
	}
	if len(i.bad) > 0 {
		return fmt.Errorf("%s refused", plural(len(i.bad), "user"))
	}
	return nil
}

// checkImport checks a file, says what is wrong with it, and tries a password.
func (in *invocation) checkImport(ctx context.Context, i *importer) error {
	bar := in.newProgress("checking", i.file)
	i.progress = bar.show
	err := i.check(ctx)
	bar.end()
	fmt.Fprint(in.stderr, i.reportProblems())
	if err != nil {
		return fmt.Errorf("%w; nothing was added", interrupted(ctx, err))
	}
	if warning := i.census.warning(); warning != "" {
		fmt.Fprintln(in.stderr, "warning:", warning)
	}
	if i.try == "" {
		return nil
	}
	if i.tried == nil {
		return fmt.Errorf("there is no good line for %s; nothing was added", quoted(in.flags.String("try")))
	}
	return in.tryPassword(ctx, i)
}

// tryPassword asks for the password of the user who is tried, and compares it.
func (in *invocation) tryPassword(ctx context.Context, i *importer) error {
	var password string
	var err error
	if isTerminal(in.stdin) {
		password, err = in.askPassword(ctx, fmt.Sprintf("Password of %s: ", quoted(i.tried.Username)))
	} else {
		password, err = readPassword(in.stdin)
	}
	if err == nil {
		err = i.tryPassword(password)
	}
	if err != nil {
		return fmt.Errorf("%w; nothing was added", err)
	}
	fmt.Fprintf(in.stderr, "the hash of %s takes this password\n", quoted(i.tried.Username))
	return nil
}

// stoppedEarly says how many users were added before an import ended with err.
func stoppedEarly(ctx context.Context, err error, added int) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %s added; run it again to go on", errInterrupted, thousands(added))
	}
	return fmt.Errorf("%w; %s added; run it again to go on", err, thousands(added))
}

// exportUsersCommand writes all users, as they are at one moment.
func exportUsersCommand(ctx context.Context, in *invocation) error {
	path := in.flags.String("o")
	if path == "" && isTerminal(in.stdout) {
		return errUsage("this would print password hashes; want -o FILE")
	}
	return in.withAccounts(ctx, toRead, func(a *accounts) error {
		n := 0
		write := func(w io.Writer) (err error) {
			n, err = writeUsers(ctx, a.store, w)
			return err
		}
		var err error
		if path == "" {
			err = write(in.stdout)
		} else {
			err = createFile(path, write)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(in.stderr, "exported %s\n", plural(n, "user"))
		return nil
	})
}

// writeUsers writes every user, each on a line, and returns how many they are.
func writeUsers(ctx context.Context, users userStore, w io.Writer) (n int, err error) {
	buffer := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(buffer)
	enc.SetEscapeHTML(false)
	err = users.EachUser(ctx, func(u User) error {
		n++
		return enc.Encode(newExportedUser(u))
	})
	return n, errors.Join(err, buffer.Flush())
}

// createFile makes a new file, for its owner only, with what write writes. The file appears
// when it is whole. A file that is there is left as it is.
func createFile(path string, write func(io.Writer) error) error {
	taken := fmt.Errorf("%s is there already; want a new name", path)
	if _, err := os.Lstat(path); err == nil {
		return taken
	}
	temporary := path + ".tmp"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot create %s: %w", temporary, withoutPath(err))
	}
	defer os.Remove(temporary)
	err = errors.Join(write(file), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Link(temporary, path); errors.Is(err, fs.ErrExist) { // unlike Rename, it replaces nothing
		return taken
	} else if err != nil {
		return os.Rename(temporary, path) // on a file system without links
	}
	return nil
}
