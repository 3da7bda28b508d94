package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"regexp"
	"runtime/debug"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// A program is the environment of one run: variables and streams. A test can run the whole
// program; only signals and GOMAXPROCS are not in it.
type program struct {
	environ []string // NAME=value
	stdin   *os.File
	stdout  io.Writer
	stderr  *os.File
}

// version is set by the linker (see the Makefile).
var version string

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		return info.Main.Version
	}
	return version
}

// A command is what the first words of the command line ask for.
type command struct {
	name      string
	args      string // their names; the last may end with "...", or be in brackets
	meaning   string // a line without a period
	details   string // more of it, for its own help
	needs     need   // 0: it reads no settings
	options   []option
	run       func(ctx context.Context, in *invocation) error
	sub       []command
	isDefault bool // it runs if no command is named
}

// An option is a flag of a command. A switch has no value.
type option struct {
	name, value, meaning string
	repeated             bool
}

// isForDatabase reports whether a command needs a database.
func (c command) isForDatabase() bool {
	return c.needs&(forUsers|forDatabase) != 0 && c.needs&forServer == 0
}

// allOptions returns the options of a command, with those of the settings that it reads.
func (c command) allOptions() []option {
	all := c.options
	for _, s := range settings {
		if s.flag != "" && s.needs&c.needs != 0 {
			all = append(all, option{name: s.flag, value: "VALUE", meaning: "used instead of " + s.name})
		}
	}
	return all
}

// An invocation is a command with its arguments, options and settings.
type invocation struct {
	*program
	args   []string
	given  map[string][]string // options by their names
	cfg    config
	socket net.Listener // which systemd has opened for the server; nil: it listens itself
}

// isSet reports whether an option was given. A switch is on then.
func (in *invocation) isSet(name string) bool { return in.given[name] != nil }

// text returns the value of an option, or "".
func (in *invocation) text(name string) string {
	if !in.isSet(name) {
		return ""
	}
	return in.given[name][0]
}

// usageErrorf returns the error of a command whose arguments are wrong. It says what would be
// right.
func usageErrorf(format string, args ...any) error { return configError{fmt.Sprintf(format, args...)} }

// errInterrupted means that a signal ended a command.
var errInterrupted = errors.New("interrupted")

// interrupted returns errInterrupted if ctx has ended, and err otherwise.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, errInterrupted) {
		return errInterrupted
	}
	return err
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && f != nil && term.IsTerminal(int(f.Fd()))
}

// printf prints a line of the result.
func (in *invocation) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(in.stdout, format+"\n", args...)
	return err
}

// newLineEncoder returns an encoder that writes a value on each line. It writes < and & as they
// are, because no browser reads them.
func newLineEncoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

// writeLine writes a value as a line of JSON that is safe on a terminal.
func writeLine(w io.Writer, value any) error {
	var line bytes.Buffer
	if err := newLineEncoder(&line).Encode(value); err != nil {
		return err
	}
	_, err := w.Write(escapeControls(line.Bytes()))
	return err
}

// escapeControls escapes the characters of a JSON text that a terminal obeys and package json
// leaves as they are: DEL, C1 controls, and what changes the direction of writing.
func escapeControls(text []byte) []byte {
	return controls.ReplaceAllFunc(text, func(c []byte) []byte {
		r, _ := utf8.DecodeRune(c)
		return fmt.Appendf(nil, `\u%04x`, r)
	})
}

var controls = regexp.MustCompile(`[\x{7f}-\x{9f}\x{061c}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{2069}]`)

// cliClient says who runs a command, for the record.
func cliClient() client {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return client{Actor: "cli:" + name}
}

// commandPatience is how long a command waits for a database to answer.
const commandPatience = 5 * time.Second

// errInMemory means that a command cannot reach the users.
var errInMemory = configError{"no database: set DATABASE_URL or give -db; without one, users exist only in the memory of the server"}

// withAccounts calls do with the accounts in the database that the settings name.
func (in *invocation) withAccounts(ctx context.Context, mode openMode, do func(*accounts) error) error {
	in.printWarnings()
	log := in.newLog()
	var db *database
	var err error
	if mode == leaveSchema {
		db, err = openUnmigrated(ctx, in.cfg.DatabaseURL, log)
	} else {
		db, err = openMigrated(ctx, in.cfg.DatabaseURL, mode, commandPatience, log)
	}
	if err != nil {
		return interrupted(ctx, explainMissing(in.cfg.DatabaseURL, err))
	}
	defer db.Close()
	acc := newAccounts(in.cfg, sqlStore{db}, nil, log)
	err = interrupted(ctx, do(acc))
	for _, e := range acc.events.take(maxWaitingEvents) {
		fmt.Fprint(in.stderr, "an event that is not recorded: ")
		writeLine(in.stderr, newEventResponse(e))
	}
	return err
}

// printWarnings prints the warnings about the settings.
func (in *invocation) printWarnings() {
	for _, warning := range in.cfg.Warnings {
		fmt.Fprintln(in.stderr, "warning:", warning)
	}
}

// newLog returns the log of a command: it has only what somebody at a terminal should know.
func (in *invocation) newLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(in.stderr, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutTime}))
}

// explainMissing returns what to do if the SQLite file at a URL is not there, and err otherwise.
func explainMissing(url string, err error) error {
	path, ok := sqlitePath(url)
	if !ok || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%s does not exist; want the path of the server's database (only users add and users import create one)", path)
}

// withoutTime drops the time from log lines that somebody reads as they come.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
