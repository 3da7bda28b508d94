package main

import (
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A setting is one row of the table that latchkey -h prints. A secret can also
// be read from the file that <name>_FILE names, and is never printed.
type setting struct {
	name     string
	flag     string
	fallback string
	meaning  string
	secret   bool
	verbatim bool // nothing is cut off its ends
	needs    need
	kind     kind
}

// A need says what a command does, and so which settings it reads.
type need uint8

const (
	forUsers    need = 1 << iota // it adds, finds or changes users
	forTokens                    // it makes or reads tokens
	forServer                    // it listens
	forReady                     // it asks the running server whether it is ready
	forDatabase                  // it opens the database, and does nothing with users

	everything = forUsers | forTokens | forServer // what the server does
)

// A kind describes what a setting may be. Its read function parses the text into the config,
// or notes what is wrong. The zero kind is for settings that a rule of rules.go reads
// together with others.
type kind struct {
	limits string // what is allowed, for people
	read   func(r *settingReader, name string, c *config)
}

// as returns the kind of a setting that parse reads into a field of the config.
func as[T any](parse func(r *settingReader, name string) T, field func(*config) *T) kind {
	return kind{read: func(r *settingReader, name string, c *config) { *field(c) = parse(r, name) }}
}

// integer returns the kind of whole numbers from least to most.
func integer(least, most int, field func(*config) *int) kind {
	return kind{limits(least, most), func(r *settingReader, name string, c *config) {
		*field(c) = r.integer(name, least, most)
	}}
}

// duration returns the kind of durations that are a whole number of units.
func duration(unit time.Duration, least, most int, field func(*config) *time.Duration) kind {
	return kind{limits(least, most), func(r *settingReader, name string, c *config) {
		*field(c) = time.Duration(r.integer(name, least, most)) * unit
	}}
}

func limits(least, most int) string { return fmt.Sprintf("%d to %d", least, most) }

func (r *settingReader) integer(name string, least, most int) int {
	n, err := strconv.Atoi(r.values[name])
	if err != nil || n < least || n > most {
		r.bad(name, "%s; want a whole number from %s", shown(r.values[name]), limits(least, most))
	}
	return n
}

// either returns the kind of two words. It ignores case, because Python writes True. It
// refuses synonyms, and says which of the two words is meant.
func either(yes, no string, field func(*config) *bool) kind {
	return kind{read: func(r *settingReader, name string, c *config) {
		switch value := strings.ToLower(r.values[name]); {
		case value == yes || value == no:
			r.values[name], *field(c) = value, value == yes
		case slices.Contains([]string{"1", "yes", "y", "t", "true", "on", "enabled"}, value):
			r.bad(name, "%s; want %s or %s: %s", shown(r.values[name]), yes, no, yes)
		case slices.Contains([]string{"0", "no", "n", "f", "false", "off", "disabled"}, value):
			r.bad(name, "%s; want %s or %s: %s", shown(r.values[name]), yes, no, no)
		default:
			r.bad(name, "%s; want %s or %s", shown(r.values[name]), yes, no)
		}
	}}
}

// A settingReader turns texts into a config, and collects problems and warnings.
type settingReader struct {
	table    []setting
	needs    need // of the command, which reads no other settings
	terminal bool // whether the log goes to one
	environ  []variable
	values   map[string]string
	source   map[string]string // of each value that is not a default
	unread   map[string]bool   // its file cannot be read
	warnings []string
	problems []string
}

// A variable is one of the environment.
type variable struct{ name, value string }

// settings yields the rows that the command needs.
func (r *settingReader) settings() iter.Seq[setting] {
	return func(yield func(setting) bool) {
		for _, s := range r.table {
			if s.needs&r.needs != 0 && !yield(s) {
				return
			}
		}
	}
}

// isSet reports whether a setting has been given a value.
func (r *settingReader) isSet(name string) bool { return r.source[name] != "" }

// bad notes a problem with a setting: the program will not start.
func (r *settingReader) bad(name, format string, args ...any) {
	r.problems = append(r.problems, name+": "+fmt.Sprintf(format, args...))
}

// warn notes that a setting is doubtful.
func (r *settingReader) warn(name, format string, args ...any) {
	r.warnings = append(r.warnings, name+": "+fmt.Sprintf(format, args...))
}

// list splits a comma-separated text; an empty one is an empty list.
func (r *settingReader) list(name string) []string {
	if r.values[name] == "" {
		return nil
	}
	var items []string
	for item := range strings.SplitSeq(r.values[name], ",") {
		items = append(items, strings.TrimSpace(item))
	}
	return items
}

// lookup is os.LookupEnv for the environment that we were given.
func (r *settingReader) lookup(name string) (string, bool) {
	for _, v := range r.environ {
		if v.name == name {
			return v.value, true
		}
	}
	return "", false
}

// claim reads a text that becomes a claim of every token.
func (r *settingReader) claim(name string) string {
	text := r.values[name]
	if len(text) > 255 || !utf8.ValidString(text) {
		r.bad(name, "%d bytes; want at most 255, in UTF-8", len(text))
	}
	return text
}

// audience reads the names of the services that tokens are for.
func (r *settingReader) audience(name string) audience {
	r.claim(name)
	list := audience(r.list(name))
	for i, item := range list {
		if item == "" || slices.Contains(list[:i], item) {
			r.bad(name, "has an empty name, or one twice; want names separated by commas, such as api,billing")
			break
		}
	}
	return list
}

func (r *settingReader) databaseURL(name string) string {
	url := fromSQLAlchemy(r.values[name])
	if err := checkDatabaseURL(url); err != nil {
		r.bad(name, "%v", err)
	}
	if path, ok := sqlitePath(url); ok && url != r.values[name] && strings.Contains(path, "/") && !strings.ContainsAny(path[:1], "./") {
		r.warn(name, "three slashes begin a path from the working directory, as in SQLAlchemy; want four for an absolute one, or sqlite: and the path")
	}
	r.values[name] = url
	return url
}

func (r *settingReader) logLevel(name string) slog.Level {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		"warning": slog.LevelWarn, // Python's name
	}
	level, ok := levels[strings.ToLower(r.values[name])]
	if !ok {
		r.bad(name, "%s; want debug, info, warn or error", shown(r.values[name]))
	}
	r.values[name] = strings.ToLower(level.String())
	return level
}

func (r *settingReader) logJSON(name string) bool {
	format := strings.ToLower(r.values[name])
	switch {
	case format == "" && r.terminal:
		format = "text"
	case format == "":
		format = "json"
	case format != "text" && format != "json":
		r.bad(name, "%s; want text or json", shown(r.values[name]))
	}
	r.values[name] = format
	return format == "json"
}
