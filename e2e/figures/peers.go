package main

import (
	"fmt"
	"image/color"
)

// A contestant is a server of BenchmarkPeers.
type contestant struct {
	name  string // in the benchmark's names
	label string
	hash  string // of its passwords
	color color.Color

	cannotRefresh bool
}

// contestants are in the order of the bars. Their hashes are the default of each.
var contestants = []contestant{
	{"Latchkey-memory", "Latchkey, memory", "PBKDF2, 600,000 rounds", blue, false},
	{"Latchkey-SQLite", "Latchkey, SQLite", "PBKDF2, 600,000 rounds", orange, false},
	{"Latchkey-PostgreSQL", "Latchkey, PostgreSQL", "PBKDF2, 600,000 rounds", green, false},
	{"original", "FastAPI, memory", "PBKDF2, 29,000 rounds", silver, true},
	{"PocketBase", "PocketBase, SQLite", "bcrypt, cost 10", silver, false},
}

func drawPeers(r *reader) sheet {
	return sheet{
		title:  "Latchkey beside others, on one machine",
		note:   "They take turns in one run, with the settings that they come with.",
		height: 122, rows: [][]panel{{
			contest(r, "Whose token is this?", "per second, over 1 connection", func(r *reader, c contestant) bar {
				return c.rate(r, "who-am-I/connections=1", "requests/s")
			}),
			contest(r, "Whose token is this?", "per second, over 16 connections", func(r *reader, c contestant) bar {
				return c.rate(r, "who-am-I/connections=16", "requests/s")
			}),
		}, {
			contest(r, "New tokens for a session", "per second, over 16 connections; PocketBase stores nothing", func(r *reader, c contestant) bar { return c.refreshes(r) }),
			contest(r, "Logins", "per second; a hash that takes longer is harder to guess", func(r *reader, c contestant) bar {
				b := c.rate(r, "login/connections=4", "logins/s")
				b.text += " · " + c.hash
				return b
			}),
		}, {
			contest(r, "Start", "until the first answer", func(r *reader, c contestant) bar {
				ms := r.value(c.benchmark("start"), "ms-to-first-answer")
				return bar{value: ms, text: inTime(ms)}
			}),
			contest(r, "Idle", "resident memory, without PostgreSQL's own", func(r *reader, c contestant) bar {
				mb := r.value(c.benchmark("start"), "MB-idle")
				return bar{value: mb, text: fmt.Sprintf("%.0f MB", mb)}
			}),
		}},
	}
}

// contest returns a panel with a bar for each contestant.
func contest(r *reader, title, note string, ask func(*reader, contestant) bar) panel {
	var all bars
	for _, c := range contestants {
		b := ask(r, c)
		b.name, b.color = c.label, c.color
		all = append(all, b)
	}
	return newBars(title, note, all)
}

func (c contestant) benchmark(question string) string { return "Peers/" + c.name + "/" + question }

func (c contestant) rate(r *reader, question, unit string) bar {
	v := r.value(c.benchmark(question), unit)
	return bar{value: v, text: thousands(v)}
}

func (c contestant) refreshes(r *reader) bar {
	if c.cannotRefresh {
		return bar{text: "has none"}
	}
	return c.rate(r, "refresh/connections=16", "refreshes/s")
}

func sayPeers(r *reader) string {
	ours := r.value("Peers/Latchkey-memory/who-am-I/connections=16", "requests/s")
	durable := r.value("Peers/Latchkey-SQLite/who-am-I/connections=16", "requests/s")
	return fmt.Sprintf("Latchkey answers who a token's user is %.0f times as often as the original does, and with SQLite %.0f times as "+
		"often as PocketBase.", ours/r.value("Peers/original/who-am-I/connections=16", "requests/s"),
		durable/r.value("Peers/PocketBase/who-am-I/connections=16", "requests/s"))
}
