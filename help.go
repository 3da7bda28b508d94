package main

import (
	"fmt"
	"io"
	"strings"
)

func (p *program) printVersion() error {
	_, err := fmt.Fprintln(p.stdout, "latchkey", buildVersion())
	return err
}

// helpWidth is how wide help is, in columns.
const helpWidth = 80

// printHelp explains a command, or all of them with their settings.
func (p *program) printHelp(fullName string, c command) error {
	text := usage()
	if !c.isDefault {
		text = explain(fullName, c)
	}
	_, err := io.WriteString(p.stdout, text)
	return err
}

// explain returns the help of one command.
func explain(fullName string, c command) string {
	var text strings.Builder
	synopsis := []string{fullName}
	if c.sub != nil {
		synopsis = append(synopsis, "COMMAND")
	}
	if c.args != "" {
		synopsis = append(synopsis, c.args)
	}
	if len(c.allOptions()) > 0 {
		synopsis = append(synopsis, "[flags]")
	}
	fmt.Fprintf(&text, "Usage: %s\n\n", strings.Join(synopsis, " "))
	about := strings.ToUpper(c.meaning[:1]) + c.meaning[1:] + ". " + c.details
	for _, line := range wrap(about, helpWidth) {
		fmt.Fprintln(&text, line)
	}
	if rows := append(commandRows(c), optionRows(c)...); len(rows) > 0 {
		fmt.Fprintln(&text)
		writeRows(&text, "  ", rows)
	}
	switch {
	case c.sub != nil:
		fmt.Fprintf(&text, "\nFor one command: %s COMMAND -h\n", fullName)
	case c.needs == everything:
		text.WriteString("\n" + settingsHelp())
	case c.needs != 0:
		text.WriteString("\nlatchkey -h lists the settings, which are environment variables.\n")
	}
	return text.String()
}

func commandRows(c command) (rows [][2]string) {
	for _, sub := range c.sub {
		rows = append(rows, [2]string{strings.TrimSpace(sub.name + " " + sub.args), sub.meaning})
	}
	return rows
}

func optionRows(c command) (rows [][2]string) {
	for _, o := range c.allOptions() {
		rows = append(rows, [2]string{strings.TrimSpace("-" + o.name + " " + o.value), o.meaning})
	}
	return rows
}

// writeRows writes two columns, the second of which is wrapped.
func writeRows(text *strings.Builder, indent string, rows [][2]string) {
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	for _, row := range rows {
		name := row[0]
		for _, part := range wrap(row[1], helpWidth-len(indent)-width-2) {
			fmt.Fprintf(text, "%s%-*s  %s\n", indent, width, name, part)
			name = ""
		}
	}
}

// usage explains the program and its settings.
func usage() string {
	var text strings.Builder
	text.WriteString("Latchkey is a small server for users and tokens.\n\n")
	var rows [][2]string
	for _, c := range commands() {
		synopsis := strings.TrimSpace("latchkey " + c.name + " " + c.args)
		switch {
		case c.isDefault:
			synopsis = "latchkey [" + c.name + "]"
		case c.sub != nil:
			synopsis += " COMMAND"
		}
		rows = append(rows, [2]string{synopsis, c.meaning})
	}
	writeRows(&text, "  ", rows)
	return text.String() + "\n" + settingsHelp()
}

// settingsHelp explains all settings.
func settingsHelp() string {
	var text strings.Builder
	text.WriteString(`Settings are environment variables; a flag wins over its variable. For a secret,
NAME_FILE can name a file that holds the value.

`)
	rows := [][2]string{{"VARIABLE", "MEANING"}}
	for _, s := range settings {
		rows = append(rows, [2]string{s.name, s.describe()})
	}
	writeRows(&text, "", rows)
	return text.String()
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
