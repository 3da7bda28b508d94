package main

import (
	"image/color"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A bar has its name on its left, and what its value means on its right.
type bar struct {
	name  string
	color color.Color
	value float64
	text  string
}

// bars are the bars of a panel, from the top. They begin at 0.
type bars []bar

func newBars(title, note string, all bars) panel {
	p := newPanel(title, note, scale{}, scale{})
	p.HideAxes()
	p.Y.Padding = 0
	p.X.Min, p.X.Max = 0, 0
	for _, b := range all {
		p.X.Max = max(p.X.Max, b.value)
	}
	p.Y.Min, p.Y.Max = -0.5, float64(len(all))-0.5
	p.Add(all)
	return p
}

func (all bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, b := range all {
		const half = 0.36
		row := float64(len(all) - 1 - i)
		from, to := y(row-half), y(row+half)
		c.FillPolygon(b.color, []vg.Point{{X: x(0), Y: from}, {X: x(b.value), Y: from}, {X: x(b.value), Y: to}, {X: x(0), Y: to}})
		style := lettering(small, ink, font.WeightNormal)
		write(c, style, x(0)-roomFor(all.longestName()), y(row), b.name)
		write(c, style, x(b.value)+beside, y(row), b.text)
	}
}

// GlyphBoxes makes room for the texts.
func (all bars) GlyphBoxes(p *plot.Plot) []plot.GlyphBox {
	boxes := []plot.GlyphBox{{Y: 0.5, Rectangle: vg.Rectangle{Min: vg.Point{X: -roomFor(all.longestName())}}}}
	for _, b := range all {
		boxes = append(boxes, plot.GlyphBox{X: p.X.Norm(b.value), Y: 0.5, Rectangle: vg.Rectangle{Max: vg.Point{X: roomFor(b.text)}}})
	}
	return boxes
}

func (all bars) longestName() (longest string) {
	for _, b := range all {
		if roomFor(b.name) > roomFor(longest) {
			longest = b.name
		}
	}
	return longest
}

// roomFor returns how much room a text needs beside a bar. It allows for letters that are wider than
// Arial's, because a reader may have another font.
func roomFor(text string) vg.Length {
	return lettering(small, ink, font.WeightNormal).Width(text)*1.15 + beside
}
