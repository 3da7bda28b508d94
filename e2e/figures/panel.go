package main

import (
	"image/color"
	"slices"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A panel is one of the plots of a picture.
type panel struct {
	title, note string
	*plot.Plot
}

// A scale is an axis from its first tick to its last.
type scale struct {
	label string
	ticks []plot.Tick
	isLog bool
}

func newPanel(title, note string, x, y scale) panel {
	p := panel{title, note, plot.New()}
	p.BackgroundColor = nil
	x.onto(&p.X)
	y.onto(&p.Y)
	p.X.Tick.LineStyle = draw.LineStyle{Color: faint, Width: 0.5}
	p.X.Tick.Length = 4
	p.Y.Padding = 6
	p.Y.LineStyle.Width = 0
	return p
}

func (s scale) onto(a *plot.Axis) {
	a.Label.Text = s.label
	a.Label.TextStyle = lettering(small, faint, font.WeightNormal)
	a.Label.TextStyle.XAlign, a.Label.TextStyle.YAlign = draw.XCenter, draw.YBottom
	a.Label.Padding = 4
	align := a.Tick.Label
	a.Tick.Label = lettering(small, ink, font.WeightNormal)
	a.Tick.Label.XAlign, a.Tick.Label.YAlign = align.XAlign, align.YAlign
	a.Tick.LineStyle.Width = 0
	a.Tick.Marker = plot.ConstantTicks(s.ticks)
	a.LineStyle.Color, a.LineStyle.Width = faint, 0.5
	a.Padding = 0
	if s.isLog {
		a.Scale = plot.LogScale{}
	}
	if len(s.ticks) > 0 {
		a.Min, a.Max = s.ticks[0].Value, s.ticks[len(s.ticks)-1].Value
	}
}

// A grid is a hairline at each tick of the vertical axis.
type grid struct{}

func (grid) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		c.StrokeLine2(draw.LineStyle{Color: hairs, Width: 0.5}, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
	}
}

// A line is a curve with its name at its end.
type line struct {
	name      string
	color     color.Color
	hasNoDots bool
	points    plotter.XYs
}

// draw adds lines to a panel, on a grid.
func (p panel) draw(lines ...line) {
	p.Add(grid{})
	for _, l := range lines {
		p.Add(&plotter.Line{XYs: l.points, LineStyle: draw.LineStyle{Color: l.color, Width: 1.75}})
		if !l.hasNoDots {
			dot := draw.GlyphStyle{Color: l.color, Radius: 2.5, Shape: draw.CircleGlyph{}}
			p.Add(&plotter.Scatter{XYs: l.points, GlyphStyle: dot})
		}
	}
	p.Add(lineEnds(lines))
}

// lineEnds writes the names of lines beside their last points.
type lineEnds []line

// beside is the distance of a text from what it stands beside.
const beside = vg.Length(6)

func (ends lineEnds) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	sorted := slices.SortedFunc(slices.Values(ends), func(a, b line) int {
		return int(y(a.last().Y)*100) - int(y(b.last().Y)*100)
	})
	var heights []vg.Length
	for _, l := range sorted {
		heights = append(heights, y(l.last().Y))
	}
	for i, height := range apart(heights, normal*1.2) {
		write(c, lettering(normal, sorted[i].color, font.WeightBold), x(sorted[i].last().X)+beside, height, sorted[i].name)
	}
}

func (l line) last() plotter.XY { return l.points[len(l.points)-1] }

// apart moves heights, which are sorted, until all are at least gap apart.
func apart(heights []vg.Length, gap vg.Length) []vg.Length {
	for range len(heights) {
		for i := 1; i < len(heights); i++ {
			if missing := gap - (heights[i] - heights[i-1]); missing > 0 {
				heights[i-1] -= missing / 2
				heights[i] += missing / 2
			}
		}
	}
	return heights
}

// GlyphBoxes makes room for the names.
func (ends lineEnds) GlyphBoxes(p *plot.Plot) []plot.GlyphBox {
	var boxes []plot.GlyphBox
	for _, l := range ends {
		width := lettering(normal, l.color, font.WeightBold).Width(l.name)
		boxes = append(boxes, plot.GlyphBox{
			X: p.X.Norm(l.last().X), Y: p.Y.Norm(l.last().Y),
			Rectangle: vg.Rectangle{Max: vg.Point{X: beside + width}},
		})
	}
	return boxes
}

// remarks are lines of text below each other. The first is at a point of a panel.
type remarks struct {
	from  plotter.XY
	lines []remark
}

type remark struct {
	text  string
	color color.Color
}

func (all remarks) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, r := range all.lines {
		write(c, lettering(normal, r.color, font.WeightNormal), x(all.from.X), y(all.from.Y)-vg.Length(i)*normal*1.6, r.text)
	}
}
