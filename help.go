package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// version is set by the linker (see the Makefile).
var version string

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		return info.Main.Version
	}
	return version
}

func printVersion(w io.Writer) error {
	_, err := fmt.Fprintln(w, "latchkey", buildVersion())
	return err
}

// screen is how wide a terminal is, in columns.
const screen = 80

// printHelp explains a command. For those that read all settings it prints the whole usage.
func (p *program) printHelp(fullName string, c command) error {
	if fullName == "latchkey" || c.needs == everything {
		return usage(p.stdout, p.commands)
	}
	var text strings.Builder
	synopsis := fullName
	if c.sub != nil {
		synopsis += " COMMAND"
	}
	if c.args != "" {
		synopsis += " " + c.args
	}
	if len(c.flags) > 0 || c.needs != 0 {
		synopsis += " [flags]"
	}
	fmt.Fprintf(&text, "Usage: %s\n\n", synopsis)
	about := strings.ToUpper(c.meaning[:1]) + c.meaning[1:] + ". " + c.details
	for _, line := range wrap(about, screen) {
		fmt.Fprintln(&text, line)
	}
	var rows [][2]string
	for _, sub := range c.sub {
		rows = append(rows, [2]string{strings.TrimSpace(sub.name + " " + sub.args), sub.meaning})
	}
	for _, f := range append(c.flags, settingFlags(c.needs)...) {
		rows = append(rows, flagRow(f))
	}
	if len(rows) > 0 {
		fmt.Fprintln(&text)
	}
	writeRows(&text, "  ", rows)
	if c.sub != nil {
		fmt.Fprintf(&text, "\n%s COMMAND -h explains one of them.\n", fullName)
	}
	_, err := io.WriteString(p.stdout, text.String())
	return err
}

// flagRow returns a flag with the name of its value, which stands in the place of a default, and
// what it means.
func flagRow(f cli.Flag) [2]string {
	doc := f.(cli.DocGenerationFlag)
	name := "-" + f.Names()[0]
	if doc.TakesValue() {
		name += " " + doc.GetDefaultText()
	}
	return [2]string{name, doc.GetUsage()}
}

// writeRows writes two columns, the second of which is wrapped.
func writeRows(text *strings.Builder, indent string, rows [][2]string) {
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	for _, row := range rows {
		name := row[0]
		for _, part := range wrap(row[1], screen-len(indent)-width-2) {
			fmt.Fprintf(text, "%s%-*s  %s\n", indent, width, name, part)
			name = ""
		}
	}
}

// usage explains the program and its settings.
func usage(w io.Writer, all []command) error {
	var text strings.Builder
	text.WriteString("Latchkey is a small server for users and tokens.\n\n")
	var rows [][2]string
	for _, c := range all {
		synopsis := "latchkey " + c.name
		switch {
		case c.name == "serve":
			synopsis = "latchkey [serve]"
		case c.sub != nil:
			synopsis += " COMMAND"
		}
		rows = append(rows, [2]string{synopsis, c.meaning})
	}
	rows = append(rows, [2]string{"latchkey completion SHELL", "print what makes bash, zsh or fish complete words"})
	writeRows(&text, "  ", rows)
	text.WriteString(`
Settings are environment variables; a flag wins over its variable. For a secret,
NAME_FILE can name a file that holds the value.

`)
	rows = [][2]string{{"VARIABLE", "MEANING"}}
	for _, s := range settings {
		rows = append(rows, [2]string{s.name, s.describe()})
	}
	writeRows(&text, "", rows)
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

// helpCommand explains the command that the arguments name.
func helpCommand(_ context.Context, in *invocation) error {
	c, name := command{name: "latchkey", sub: in.commands}, "latchkey"
	for _, word := range in.args {
		i := slices.IndexFunc(c.sub, func(sub command) bool { return sub.name == word })
		if i < 0 {
			return in.unknownCommand(c, word)
		}
		c, name = c.sub[i], name+" "+word
	}
	return in.printHelp(name, c)
}

// unknownCommand returns the error for a word in the place of a command.
func (p *program) unknownCommand(c command, word string) error {
	var names []string
	for _, sub := range c.sub {
		names = append(names, sub.name)
	}
	last := len(names) - 1
	list := strings.Join(names[:last], ", ") + " or " + names[last]
	if word == "" {
		return configError{fmt.Sprintf("want a command after %s: %s", c.name, list)}
	}
	return configError{fmt.Sprintf("unknown command%s; want %s", p.shownWord("", word), list)}
}

// shownWord returns a word of the command line in quotes, after a space. It returns "" if the
// word may be a secret: if it is neither short nor close to one of our own words.
func (p *program) shownWord(prefix, word string) string {
	if isShort.MatchString(word) || nearest(strings.ToLower(word), p.ownWords()) != "" {
		return fmt.Sprintf(" %q", prefix+word)
	}
	return ""
}

// isShort matches words that are too short to be secrets.
var isShort = regexp.MustCompile(`^[a-z]{1,5}$`)

// ownWords returns the names of all commands and flags.
func (p *program) ownWords() []string {
	words := []string{"completion", "version", "help"}
	var add func(all []command)
	add = func(all []command) {
		for _, c := range all {
			words = append(words, c.name)
			for _, f := range slices.Concat(c.flags, settingFlags(c.needs)) {
				words = append(words, f.Names()[0])
			}
			add(c.sub)
		}
	}
	add(p.commands)
	return words
}
