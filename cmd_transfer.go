package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
)

// How many bad lines of a file are named.
const (
	linesNamed    = 20
	maxLinesNamed = 100_000 // with -v
)

// importUsersCommand adds users from a file.
func importUsersCommand(ctx context.Context, in *invocation) error {
	path := in.args[0]
	if path == "-" && in.isSet("try") {
		return usageErrorf("-try reads the password from standard input, so the users must come from a file")
	}
	file, err := interruptible(ctx, func() (*importFile, error) { return openImport(path, in.stdin) })
	if err != nil {
		return err
	}
	defer file.Close()
	if in.isSet("dry-run") {
		return in.withReadOnlyAccounts(ctx, func(a *accounts) error { return in.runImport(ctx, a, file) })
	}
	return in.withAccounts(ctx, readWriteCreate, func(a *accounts) error { return in.runImport(ctx, a, file) })
}

// withReadOnlyAccounts is withAccounts for a command that only reads. A SQLite file that does not
// exist is an empty store, and so is a database without tables.
func (in *invocation) withReadOnlyAccounts(ctx context.Context, do func(*accounts) error) error {
	withNoUsers := func() error { return do(newAccounts(in.cfg, newMemStore(), nil, slog.New(slog.DiscardHandler))) }
	if path, ok := sqlitePath(in.cfg.DatabaseURL); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return withNoUsers()
		}
	}
	err := in.withAccounts(ctx, leaveSchema, do)
	if errors.Is(err, errNoSchema) {
		return withNoUsers()
	}
	return err
}

// runImport checks a file, and adds its users unless this is a dry run.
func (in *invocation) runImport(ctx context.Context, a *accounts, file *importFile) error {
	check, err := in.checkImport(ctx, a, file)
	if err != nil {
		return err
	}
	if in.isSet("dry-run") {
		err = in.printf("%s", check.summary("would add", check.census.users))
		return errors.Join(err, refusedError(check))
	}
	if len(check.refused) > 0 && !in.isSet("skip-bad") {
		return errors.New("nothing was added; correct these lines, or leave them out with -skip-bad")
	}
	debug.FreeOSMemory() // give back what the check has used before the write needs as much
	bar := in.newProgress("adding", file)
	check.progress = bar.show
	added, err := check.write(ctx)
	bar.end()
	recorded := check.record(ctx, added, err, cliClient())
	if err != nil {
		err = fmt.Errorf("%w; %s added; run it again to go on", interrupted(ctx, err), thousands(added))
		return errors.Join(err, recorded)
	}
	return errors.Join(recorded, in.printf("%s", check.summary("added", added)), refusedError(check))
}

// refusedError returns an error if users of a file were refused.
func refusedError(check *importCheck) error {
	if n := len(check.refused); n > 0 {
		return fmt.Errorf("%s refused", countOf(n, "user"))
	}
	return nil
}

// checkImport checks a file, says what is wrong with it, and tries a password.
func (in *invocation) checkImport(ctx context.Context, a *accounts, file *importFile) (*importCheck, error) {
	named := linesNamed
	if in.isSet("v") {
		named = maxLinesNamed
	}
	bar := in.newProgress("checking", file)
	check, err := checkImport(ctx, a, file, importOptions{usernameKey(in.text("try")), named, bar.show})
	bar.end()
	fmt.Fprint(in.stderr, check.report())
	if err == nil {
		if warning := check.census.warning(ctx); warning != "" {
			fmt.Fprintln(in.stderr, "warning:", warning)
		}
		err = in.tryPassword(ctx, check)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; nothing was added", interrupted(ctx, err))
	}
	return check, nil
}

// tryPassword asks for the password of the user whom -try names, and compares it.
func (in *invocation) tryPassword(ctx context.Context, check *importCheck) error {
	switch {
	case check.try == "":
		return nil
	case check.tryUser == nil:
		return fmt.Errorf("the file has no valid line for %s", quoted(in.text("try")))
	}
	name := quoted(check.tryUser.Username)
	password, err := in.knownPassword(ctx, fmt.Sprintf("Password of %s: ", name))
	if err == nil {
		err = check.checkPassword(password)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(in.stderr, "the password of %s matches the hash\n", name)
	return nil
}

// exportUsersCommand writes all users, as they are at one moment.
func exportUsersCommand(ctx context.Context, in *invocation) error {
	path := in.text("o")
	if in.isSet("o") && path == "" {
		return usageErrorf("-o: want the name of a file")
	}
	if path == "" && isTerminal(in.stdout) {
		return usageErrorf("refusing to print password hashes on a terminal; give -o FILE")
	}
	return in.withAccounts(ctx, leaveSchema, func(a *accounts) error {
		// Before it is done, so that nobody gets hashes unseen. A copy of a database may be read-only.
		if err := a.events.report(ctx, a.events.newEvent(usersExported, User{}, cliClient(), "")); err != nil {
			fmt.Fprintln(in.stderr, "warning: the export is not recorded as an event:", err)
		}
		n := 0
		write := func(w io.Writer) (err error) {
			n, err = writeUsers(ctx, a.store, w)
			return err
		}
		var err error
		if path == "" {
			err = write(in.stdout)
		} else {
			err = createFile(path, func(file *os.File) error { return write(file) })
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(in.stderr, "exported %s\n", countOf(n, "user"))
		return nil
	})
}

// writeUsers writes every user, each on a line, and returns how many they are.
func writeUsers(ctx context.Context, store userStore, w io.Writer) (int, error) {
	n := 0
	buffer := bufio.NewWriterSize(w, 64<<10)
	enc := newLineEncoder(buffer)
	for u, err := range store.Users(ctx) {
		if err == nil {
			err = enc.Encode(newExportedUser(u))
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, buffer.Flush()
}
