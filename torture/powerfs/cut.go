package powerfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

const sector = 512

// Cut takes the power away, and returns what is on the disk afterwards. Every
// operation hangs from now on, until Off.
func (d *Disk) Cut(rng *rand.Rand) Image {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = true
	return d.survivors(newFate(rng, d.order))
}

// Peek is what a cut at this moment would leave, without one.
func (d *Disk) Peek(rng *rand.Rand) Image {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.survivors(newFate(rng, d.order))
}

// Off has everything that hangs fail.
func (d *Disk) Off() { close(d.off) }

// fate decides what survives a cut.
type fate struct {
	rng     *rand.Rand
	whole   bool    // changes survive as a whole or not at all
	p       float64 // how likely each one, or each sector, does
	before  int     // changes of a lower number survive: the disk kept their order
	ordered bool
	sizes   bool // a file may be as long as a write made it, without what was written
	rubbish bool // what is missing in the middle of a file is not zeros
}

// newFate draws one of several ways to fail, as each finds other mistakes:
// nothing survives, everything, what came before some moment, changes at
// random, sectors at random.
func newFate(rng *rand.Rand, last int) fate {
	f := fate{rng: rng, p: rng.Float64(), sizes: rng.IntN(3) == 0, rubbish: rng.IntN(2) == 0}
	switch rng.IntN(6) {
	case 0:
		f.whole, f.p = true, 0
	case 1:
		f.whole, f.p = true, 1
	case 2:
		f.ordered, f.before = true, last-rng.IntN(min(last, 200)+1)
	case 3:
		f.whole = true
	}
	return f
}

// survives reports whether the disk had come to a change, and whether all of
// it is there. Of the last one that an orderly disk came to, a part is.
func (f *fate) survives(order int) (some, all bool) {
	if f.ordered {
		return order <= f.before, order < f.before
	}
	if f.whole {
		hit := f.rng.Float64() < f.p
		return hit, hit
	}
	return true, false
}

func (d *Disk) survivors(fate fate) Image {
	names := maps.Clone(d.synced)
	for _, r := range d.renames {
		some, all := fate.survives(r.order)
		if !some || !all && fate.rng.Float64() >= fate.p { // a name is there or not
			continue
		}
		if r.from != "" && names[r.from] == r.file {
			delete(names, r.from)
		}
		if r.to != "" {
			names[r.to] = r.file
		}
	}
	image := make(Image)
	for _, name := range slices.Sorted(maps.Keys(names)) { // in order, for the same seed to do the same
		image[name] = names[name].survivor(fate)
	}
	return image
}

func (f *file) survivor(fate fate) []byte {
	content := slices.Clone(f.platter)
	for _, c := range f.changes {
		some, all := fate.survives(c.order)
		switch {
		case all:
			content = c.on(content)
		case c.data == nil:
			if some && fate.rng.Float64() < fate.p {
				content = c.on(content)
			}
		case some:
			content = fate.tear(content, c)
		case fate.sizes && fate.rng.IntN(4) == 0:
			content = fate.grown(content, c.at+int64(len(c.data)))
		}
	}
	return content
}

// tear applies a random part of the sectors of a write.
func (f *fate) tear(content []byte, c change) []byte {
	for start := c.at; start < c.at+int64(len(c.data)); {
		end := min((start/sector+1)*sector, c.at+int64(len(c.data)))
		if f.rng.Float64() < f.p {
			content = f.grown(content, start)
			content = change{at: start, data: c.data[start-c.at : end-c.at]}.on(content)
		}
		start = end
	}
	return content
}

// grown is content of at least a size. What was not there before is zeros or
// rubbish.
func (f *fate) grown(content []byte, size int64) []byte {
	have := int64(len(content))
	if size <= have {
		return content
	}
	content = resized(content, size)
	if f.rubbish {
		for i := have; i < size; i++ {
			content[i] = byte(f.rng.Uint32())
		}
	}
	return content
}
