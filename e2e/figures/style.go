package main

import (
	"image/color"
	"math"
	"slices"
	"strconv"

	"golang.org/x/image/font"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"gonum.org/v1/plot"
	fonts "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// These colours can be told apart without good colour vision, and in print. A store has the same
// colour in every picture. The background is opaque, so that the text can be read on a dark page, too.
var (
	paper   = rgb(0xff, 0xff, 0xff)
	ink     = rgb(0x1f, 0x23, 0x28)
	faint   = rgb(0x65, 0x6d, 0x76) // explanations, and what Latchkey is compared with
	hairs   = rgb(0xe1, 0xe4, 0xe8) // lines of the grid
	silver  = rgb(0xaf, 0xb8, 0xc1) // bars of others
	blue    = rgb(0x0b, 0x5c, 0xad) // Latchkey in memory
	orange  = rgb(0xc2, 0x57, 0x0c) // with SQLite
	green   = rgb(0x0f, 0x76, 0x5a) // with PostgreSQL
	reddish = rgb(0xa4, 0x0e, 0x4c) // in a flood
)

func rgb(r, g, b uint8) color.Color { return color.NRGBA{r, g, b, 0xff} }

// Text sizes in points, for a picture as wide as the page.
const (
	small  = vg.Length(8)
	normal = vg.Length(9)
	large  = vg.Length(12)
)

// lettering returns a style of text. Its widths are those of Liberation Sans, which are Arial's too.
func lettering(size vg.Length, c color.Color, weight font.Weight) draw.TextStyle {
	f := fonts.Font{Typeface: "Liberation", Variant: "Sans", Weight: weight, Size: size}
	return draw.TextStyle{Color: c, Font: f, Handler: plot.DefaultTextHandler}
}

// write writes a text that begins at x, with the middle of its small letters at y.
func write(c draw.Canvas, style draw.TextStyle, x, y vg.Length, text string) {
	style.YAlign = draw.YCenter
	c.FillText(style, vg.Point{X: x, Y: y + style.FontExtents().Descent/2}, text)
}

// thousands writes a number as 46,000, with three digits that mean something.
func thousands(v float64) string {
	if v < 10 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	unit := math.Pow(10, math.Max(0, math.Floor(math.Log10(v))-2))
	return message.NewPrinter(language.English).Sprintf("%d", int(math.Round(v/unit)*unit))
}

// upTo returns the ticks of an axis from 0 to most, at round numbers.
func upTo(most float64) []plot.Tick {
	magnitude := math.Pow(10, math.Floor(math.Log10(most)))
	steps := []float64{magnitude / 5, magnitude / 4, magnitude / 2, magnitude, magnitude * 2}
	step := steps[slices.IndexFunc(steps, func(step float64) bool { return most/step <= 5 })]
	ticks := []plot.Tick{{Value: 0, Label: "0"}}
	for v := step; v < most+step; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: thousands(v)})
	}
	return ticks
}

// at returns ticks at these values.
func at(label func(float64) string, values ...float64) []plot.Tick {
	var ticks []plot.Tick
	for _, v := range values {
		ticks = append(ticks, plot.Tick{Value: v, Label: label(v)})
	}
	return ticks
}
