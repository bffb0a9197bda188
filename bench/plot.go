package main

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// plots draws the curves of S1 and the distribution of W1's latencies, and
// returns the files' names.
func (r report) plots(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var names []string
	colours := map[string]color.Color{} // a peer has one in all plots
	for i, p := range r.plan.peers {
		colours[p.Name] = palette[i%len(palette)]
	}
	for _, d := range []struct {
		name, title, x, y string
		lines             []line
	}{
		{"readers", "Point reads as goroutines grow", "goroutines", "reads per second", r.curve("S1/readers")},
		{"writers", "Durable writes as goroutines grow", "goroutines", "transactions per second", r.curve("S1/writers")},
		{"connections", "Point reads from 100 goroutines as connections grow", "connections", "reads per second", r.curve("S1/connections")},
		{"rows", "A point read as the table grows", "rows", "ns per read", r.curve("S1/rows")},
		{"latency", "How long 100 durable writers wait (W1)", "one write in so many waits longer than", "ms", r.distribution("W1")},
	} {
		d.lines = slices.DeleteFunc(d.lines, func(l line) bool { return len(l.points) < 2 })
		if len(d.lines) == 0 {
			continue // a point is no curve
		}
		name := d.name + ".svg"
		if err := draw(filepath.Join(dir, name), d.title, d.x, d.y, d.lines, colours); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		names = append(names, name)
	}
	return names, nil
}

// line is one peer's.
type line struct {
	name   string
	points plotter.XYs
}

func (r report) curve(curve string) []line {
	var lines []line
	at := map[string]int{}
	for _, res := range r.results {
		if res.curve != curve {
			continue
		}
		for _, s := range res.Series {
			q, ok := s.of(res.Primary)
			if !ok || q.Median <= 0 {
				continue
			}
			i, known := at[s.Peer]
			if !known {
				i = len(lines)
				at[s.Peer] = i
				lines = append(lines, line{name: s.Peer})
			}
			lines[i].points = append(lines[i].points, plotter.XY{X: float64(res.x), Y: q.Median})
		}
	}
	return lines
}

// distribution has a point for each tenth of the way to the next nine: 50 %, 90 %,
// 99 % lie at 2, 10 and 100.
func (r report) distribution(id string) []line {
	var lines []line
	for _, res := range r.results {
		if res.ID != id {
			continue
		}
		for _, s := range res.Series {
			if s.latency == nil || s.latency.TotalCount() == 0 {
				continue
			}
			l := line{name: s.Peer}
			for one := 1.0; one <= float64(s.latency.TotalCount()); one *= 1.25 {
				l.points = append(l.points, plotter.XY{X: one, Y: float64(s.latency.ValueAtQuantile(100*(1-1/one))) / 1e6})
			}
			lines = append(lines, l)
		}
	}
	return lines
}

func draw(path, title, x, y string, lines []line, colours map[string]color.Color) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = powers{}, powers{}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding, p.Title.Padding = vg.Points(2), vg.Points(6)
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(10), vg.Points(-5)
	p.Add(plotter.NewGrid())
	lowest, highest := lines[0].points[0].Y, lines[0].points[0].Y
	for _, l := range lines {
		drawn, err := plotter.NewLine(l.points)
		if err != nil {
			return err
		}
		drawn.Color, drawn.Width = colours[l.name], vg.Points(1.2)
		if strings.HasSuffix(l.name, "tuned") {
			drawn.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
		}
		if l.name == "sqlane" {
			drawn.Width = vg.Points(3)
		}
		p.Add(drawn)
		p.Legend.Add(l.name, drawn)
		for _, point := range l.points {
			lowest, highest = min(lowest, point.Y), max(highest, point.Y)
		}
	}
	// Room for the legend above the lines.
	p.Y.Min, p.Y.Max = lowest/1.5, highest*30
	canvas := vgsvg.New(20*vg.Centimeter, 14*vg.Centimeter)
	p.Draw(vgdraw.Crop(vgdraw.New(canvas), vg.Points(6), -vg.Points(24), vg.Points(6), -vg.Points(6)))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// palette begins with sqlane's colour.
var palette = []color.Color{
	color.Black,
	color.RGBA{R: 0xd6, G: 0x27, B: 0x28, A: 0xff},
	color.RGBA{R: 0xff, G: 0x7f, B: 0x0e, A: 0xff},
	color.RGBA{R: 0x2c, G: 0xa0, B: 0x2c, A: 0xff},
	color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff},
	color.RGBA{R: 0x17, G: 0xbe, B: 0xcf, A: 0xff},
	color.RGBA{R: 0x94, G: 0x67, B: 0xbd, A: 0xff},
	color.RGBA{R: 0xe3, G: 0x77, B: 0xc2, A: 0xff},
	color.RGBA{R: 0x8c, G: 0x56, B: 0x4b, A: 0xff},
}

// powers labels the powers of ten.
type powers struct{}

// Ticks implements plot.Ticker.
func (powers) Ticks(lowest, highest float64) []plot.Tick {
	var ticks []plot.Tick
	for power := 1e-6; power <= highest; power *= 10 {
		for step := 1.0; step < 10; step++ {
			if at := power * step; at >= lowest && at <= highest {
				tick := plot.Tick{Value: at}
				if step == 1 {
					tick.Label = strconv.FormatFloat(power, 'g', 3, 64)
					if power >= 1 {
						tick.Label = number(power)
					}
				}
				ticks = append(ticks, tick)
			}
		}
	}
	return ticks
}
