package main

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/plotter"
)

// A picture is drawn from the results of one set. It stands in docs/benchmarks.md, above what the
// same results say in tables.
type picture struct {
	name   string
	set    string
	draw   func(*reader) sheet
	says   func(*reader) string // what it shows, for people who cannot see it
	tables func(*reader) string // nil: none
}

var pictures = []picture{
	{"requests", "pictures", drawRequests, sayRequests, nil},
	{"refreshes", "pictures", drawRefreshes, sayRefreshes, ratioTables},
	{"flood", "pictures", drawFlood, sayFlood, nil},
	{"growth", "pictures", drawGrowth, sayGrowth, nil},
	{"peers", "peers", drawPeers, sayPeers, peerTable},
}

// render returns the picture as SVG, and its part of the page.
func (p picture) render(measured run) (svg []byte, part string, err error) {
	r := &reader{run: measured}
	s := p.draw(r)
	part = image(p.name+".svg", p.says(r))
	if p.tables != nil {
		part += "\n" + p.tables(r) + "\n" + r.provenance()
	}
	if r.err != nil {
		return nil, "", r.err
	}
	svg, err = s.svg()
	return svg, part, err
}

// A comparison is a benchmark that compares Latchkey with a bare handler, over few and many connections.
type comparison struct {
	title, bare string
	benchmark   string
	color       color.Color
}

// connections are the numbers of connections that the loads have.
var connections = []float64{1, 4, 16, 64}

var readings = []comparison{
	{"In memory", "bare: a handler that writes the same bytes", "ReadUsersMe", blue},
	{"1,000,000 users in SQLite", "bare: a handler with one SELECT", "ReadUsersMeSQLite/users=1000000", orange},
	{"1,000,000 users in PostgreSQL", "bare: a handler with one SELECT", "ReadUsersMePostgres/users=1000000", green},
}

var updates = []comparison{
	{"In SQLite", "bare: a handler with one UPDATE in a transaction", "RefreshSQLite", orange},
	{"In PostgreSQL", "bare: a handler with one UPDATE in a transaction", "RefreshPostgres", green},
}

func drawRequests(r *reader) sheet {
	return sheet{
		title:  "GET /users/me/ per second, by connections",
		note:   "Below the number of connections: the ratio of Latchkey to the bare handler.",
		height: 190, rows: [][]panel{compare(r, readings, "requests/s")},
	}
}

func sayRequests(r *reader) string {
	return fmt.Sprintf("Requests per second over 1 to 64 connections. Over 16, Latchkey reaches %.2f of a bare handler "+
		"in memory, %.2f of one with a SELECT in SQLite, and %.2f in PostgreSQL.", ratiosAt16(r, readings)...)
}

func drawRefreshes(r *reader) sheet {
	return sheet{
		title:  "Refreshes per second, by connections",
		note:   "Each is on the disk before it is answered. Below the number of connections: the ratio of Latchkey to the bare handler.",
		height: 190, rows: [][]panel{compare(r, updates, "refreshes/s")},
	}
}

func sayRefreshes(r *reader) string {
	return fmt.Sprintf("Refreshes per second over 1 to 64 connections. Over 16, Latchkey reaches %.2f of a bare handler "+
		"with one UPDATE in SQLite, and %.2f in PostgreSQL.", ratiosAt16(r, updates)...)
}

func ratiosAt16(r *reader, all []comparison) (ratios []any) {
	for _, c := range all {
		ratios = append(ratios, r.value(c.benchmark+"/connections=16", "of-bare"))
	}
	return ratios
}

// compare returns a panel for each comparison, of a rate over the number of connections.
func compare(r *reader, all []comparison, unit string) (row []panel) {
	for _, c := range all {
		row = append(row, c.panel(r, unit))
	}
	return row
}

func (c comparison) panel(r *reader, unit string) panel {
	x := scale{label: "connections", isLog: true}
	for _, ratio := range c.points(r, "of-bare") {
		x.ticks = append(x.ticks, at(func(n float64) string { return fmt.Sprintf("%g\n×%.2f", n, ratio.Y) }, ratio.X)...)
	}
	ours, bare := c.points(r, unit), c.points(r, unit+"-bare")
	p := newPanel(c.title, c.bare, x, scale{ticks: upTo(highest(ours, bare))})
	p.draw(line{name: "bare", color: faint, points: bare}, line{name: "Latchkey", color: c.color, points: ours})
	return p
}

// points returns a value at each number of connections.
func (c comparison) points(r *reader, unit string) plotter.XYs {
	return points(r, connections, unit, c.benchmark+"/connections=%.0f")
}

// points returns what benchmarks reported whose names have x in them.
func points(r *reader, xs []float64, unit, name string) (all plotter.XYs) {
	for _, x := range xs {
		all = append(all, plotter.XY{X: x, Y: r.value(fmt.Sprintf(name, x), unit)})
	}
	return all
}

func highest(all ...plotter.XYs) (most float64) {
	for _, points := range all {
		for _, p := range points {
			most = max(most, p.Y)
		}
	}
	return most
}

// percents are the points of a curve, as BenchmarkFlood reports them.
var percents = []float64{1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 97, 98, 99, 99.5, 99.8, 100}

// The benchmarks of the flood.
const (
	quiet   = "Flood/clients=0"
	flooded = "Flood/clients=64"
)

func drawFlood(r *reader) sheet {
	inFlood, alone := curve(r, flooded), curve(r, quiet)
	x := scale{label: "time, on a logarithmic scale", isLog: true, ticks: at(inTime, around(inFlood, alone)...)}
	p := newPanel("The part of the answers that came within a time", "", x, scale{ticks: at(inPercent, 0, 25, 50, 75, 100)})
	p.draw(line{name: "alone", color: faint, points: alone, hasNoDots: true},
		line{name: "in the flood", color: reddish, points: inFlood, hasNoDots: true})
	p.Add(remarks{plotter.XY{X: 3, Y: 43}, []remark{
		{"in the flood: " + quantiles(r, flooded), reddish},
		{"alone: " + quantiles(r, quiet), faint},
	}})
	return sheet{
		title:  "How long GET /users/me/ takes while 64 clients log in without pause",
		note:   "Each login is 600,000 rounds of PBKDF2. They keep all cores busy.",
		height: 190, rows: [][]panel{{p}},
	}
}

// quantiles says in words what a curve shows.
func quantiles(r *reader, name string) string {
	return fmt.Sprintf("half in %s, 90 %% in %s, 99 %% in %s",
		inTime(r.value(name, "ms-p50")), inTime(r.value(name, "ms-p90")), inTime(r.value(name, "ms-p99")))
}

func sayFlood(r *reader) string {
	return fmt.Sprintf("The time of GET /users/me/ while 64 clients log in: %s. Alone: %s.", quantiles(r, flooded), quantiles(r, quiet))
}

// curve returns how many percent of the answers came within which time.
func curve(r *reader, name string) (all plotter.XYs) {
	for _, percent := range percents {
		all = append(all, plotter.XY{X: r.value(name, fmt.Sprint("ms-p", percent)), Y: percent})
	}
	return all
}

// around returns round numbers, from the last below all points to the first above them.
func around(all ...plotter.XYs) (round []float64) {
	low, high := math.Inf(1), 0.0
	for _, points := range all {
		low, high = min(low, points[0].X), max(high, points[len(points)-1].X)
	}
	for magnitude := 0.01; magnitude < 10_000; magnitude *= 10 {
		for _, v := range []float64{magnitude, 2 * magnitude, 5 * magnitude} {
			switch {
			case v <= low:
				round = []float64{v}
			case len(round) == 0 || round[len(round)-1] < high:
				round = append(round, v)
			}
		}
	}
	return round
}

func inTime(ms float64) string { return thousands(ms) + " ms" }

func inPercent(v float64) string { return fmt.Sprintf("%g %%", v) }

var stores = []struct {
	name  string
	color color.Color
}{{"memory", blue}, {"SQLite", orange}, {"PostgreSQL", green}}

// sizes are the numbers of users as they grow.
var sizes = []float64{1000, 10_000, 100_000, 1_000_000}

func drawGrowth(r *reader) sheet {
	var rates, memory []line
	for _, s := range stores {
		name := "Growth/store=" + s.name + "/users=%.0f"
		rates = append(rates, line{name: s.name, color: s.color, points: points(r, sizes, "requests/s", name)})
		memory = append(memory, line{name: s.name, color: s.color, points: points(r, sizes, "MB-after-load", name)})
	}
	x := scale{label: "users, each with a session", isLog: true, ticks: at(thousands, sizes...)}
	left := newPanel("GET /users/me/ per second", "16 connections", x, scale{ticks: upTo(highest(pointsOf(rates)...))})
	left.draw(rates...)
	y := scale{isLog: true, ticks: at(func(mb float64) string { return thousands(mb) + " MB" }, 10, 100, 1000)}
	right := newPanel("Resident memory of the server", "after the load; without PostgreSQL's own", x, y)
	right.draw(memory...)
	return sheet{
		title:  "From 1,000 to 1,000,000 users and sessions",
		note:   "The servers with one kind of store run at the same time and take turns.",
		height: 200, rows: [][]panel{{left, right}},
	}
}

func pointsOf(lines []line) (all []plotter.XYs) {
	for _, l := range lines {
		all = append(all, l.points)
	}
	return all
}

func sayGrowth(r *reader) string {
	var kept []any
	for _, s := range stores {
		kept = append(kept, r.value("Growth/store="+s.name+"/users=1000000", "of-1000-users"))
	}
	kept = append(kept, r.value("Growth/store=memory/users=1000000", "MB-after-load"))
	return fmt.Sprintf("With 1,000,000 users GET /users/me/ has %.2f of the rate with 1,000 in memory, %.2f in SQLite, and %.2f in "+
		"PostgreSQL. In memory they take %.0f MB.", kept...)
}
