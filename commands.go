package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
)

// A command is what the first word of the command line asks for.
type command struct {
	name    string
	usage   string // its line of the usage, without the name of the program
	meaning string
	needs   need // 0: it reads no settings
	run     func(ctx context.Context, cfg config, stdout io.Writer, stderr *os.File) error
}

// commands returns all of them. It is no variable, because help would refer to itself.
func commands() []command {
	return []command{
		{"serve", "[serve] [flags]", "run the server", everything, serveCommand},
		{"check", "check [flags]", "read the settings, say what is wrong, exit", everything, checkCommand},
		{"version", "version", "print the version", 0, func(_ context.Context, _ config, stdout io.Writer, _ *os.File) error { return printVersion(stdout) }},
		{"help", "help", "print this", 0, func(_ context.Context, _ config, stdout io.Writer, _ *os.File) error { return usage(stdout) }},
	}
}

// commandNames lists the commands for people.
func commandNames() string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func printVersion(w io.Writer) error {
	_, err := fmt.Fprintln(w, "latchkey", buildVersion())
	return err
}

// checkCommand tries the address and the database that the settings name, and prints the
// settings in effect. It fails if the start would, and changes nothing.
func checkCommand(ctx context.Context, cfg config, stdout io.Writer, _ *os.File) error {
	where, warnings, err := inspectStore(ctx, cfg.DatabaseURL)
	if err := errors.Join(checkAddress(cfg.Addr), err); err != nil {
		return err
	}
	for _, warning := range append(cfg.Warnings, warnings...) {
		fmt.Fprintln(stdout, "warning:", warning)
	}
	fmt.Fprintf(stdout, "ok: would listen on %s, sign with %s, keep users in %s\n", cfg.Addr, cfg.Keys.method.Alg(), where)
	return printSettings(cfg.InEffect, stdout)
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

// checkAddress listens on addr for a moment.
func checkAddress(addr string) error {
	ln, err := listen(addr)
	if err != nil {
		return err
	}
	return ln.Close()
}

// inspectStore describes the store at a URL. It fails unless the database answers at once and
// does what the start will need.
func inspectStore(ctx context.Context, url string) (where string, warnings []string, err error) {
	if url == "" {
		return "memory", nil, nil
	}
	db, err := openDatabase(url, false, slog.New(slog.DiscardHandler))
	if errors.Is(err, fs.ErrNotExist) {
		return "a new SQLite file, " + strings.TrimPrefix(url, sqlitePrefix), nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	defer db.Close()
	current, target, err := db.rehearse(ctx)
	if err != nil {
		return "", nil, err
	}
	where = fmt.Sprintf("%s, whose schema has version %d", db.name, current)
	if current < target {
		where += fmt.Sprintf(" and would get %d", target)
	}
	return where, db.warnings, nil
}

// usage prints how the program is called, for a terminal of 80 columns.
func usage(w io.Writer) error {
	var text strings.Builder
	text.WriteString(`Latchkey is a small server for users and tokens.

`)
	for _, c := range commands() {
		fmt.Fprintf(&text, "  latchkey %-17s %s\n", c.usage, c.meaning)
	}
	text.WriteString(`
Settings are environment variables; a flag wins over its variable. For a secret,
NAME_FILE can name a file that holds the value.

`)
	const line = "%-*s  %s\n"
	width := 0
	for _, s := range settings {
		width = max(width, len(s.name))
	}
	fmt.Fprintf(&text, line, width, "VARIABLE", "MEANING")
	for _, s := range settings {
		name := s.name
		for _, part := range wrap(s.describe(), 78-width) {
			fmt.Fprintf(&text, line, width, name, part)
			name = ""
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// wrap breaks text into lines of at most width bytes, if no word is longer.
func wrap(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len(*last)+1+len(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}
