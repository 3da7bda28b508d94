package main

import (
	"bytes"
	"html"

	"golang.org/x/image/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A sheet is a picture: rows of panels below a title.
type sheet struct {
	title, note string
	height      vg.Length // of a row
	rows        [][]panel
}

// Sizes of a sheet. At this width it fills a page of text.
const (
	width   = vg.Length(640)
	margin  = vg.Length(14)
	gap     = vg.Length(18) // between panels
	heading = vg.Length(30) // title and note of a sheet, or of a panel
)

// svg draws the sheet.
func (s sheet) svg() ([]byte, error) {
	height := 2*margin + heading + vg.Length(len(s.rows))*(s.height+gap) - gap/2
	svg := vgsvg.New(width, height)
	c := draw.New(svg)
	c.SetColor(paper)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	head(c, s.title, s.note, large)
	for i, row := range s.rows {
		top := heading + gap/2 + vg.Length(i)*(s.height+gap)
		drawRow(draw.Crop(c, 0, 0, c.Max.Y-c.Min.Y-top-s.height, -top), row)
	}
	var text bytes.Buffer
	if _, err := svg.WriteTo(&text); err != nil {
		return nil, err
	}
	return readable(text.Bytes(), s.title), nil
}

// head writes a title and a note at the top of a canvas.
func head(c draw.Canvas, title, note string, size vg.Length) {
	style := lettering(size, ink, font.WeightBold)
	style.YAlign = draw.YTop
	c.FillText(style, vg.Point{X: c.Min.X, Y: c.Max.Y}, title)
	style = lettering(small, faint, font.WeightNormal)
	style.YAlign = draw.YTop
	c.FillText(style, vg.Point{X: c.Min.X, Y: c.Max.Y - size*1.5}, note)
}

func drawRow(c draw.Canvas, row []panel) {
	wide := (c.Max.X - c.Min.X - gap*vg.Length(len(row)-1)) / vg.Length(len(row))
	for i, p := range row {
		left := vg.Length(i) * (wide + gap)
		tile := draw.Crop(c, left, left+wide-(c.Max.X-c.Min.X), 0, 0)
		head(tile, p.title, p.note, normal)
		p.Draw(draw.Crop(tile, 0, 0, 0, -heading))
	}
}

// readable names other fonts for readers without Liberation Sans, and gives screen readers the title.
func readable(svg []byte, title string) []byte {
	svg = bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
	start, rest, _ := bytes.Cut(svg, []byte("<svg "))
	return bytes.Join([][]byte{start, []byte(`<svg role="img" aria-label="` + html.EscapeString(title) + `" `), rest}, nil)
}
