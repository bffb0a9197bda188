package faults

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

var errNoWarp = errors.New("the clock of this process cannot be bent here")

// warp bends this process's time of day, and nobody else's. Linux tells the time
// without a system call, by a function in a page that it maps into every process
// (vdso(7)). The page is private once it is written to: a few bytes of code in
// it make the call and add an offset. The monotonic clock stays as it is.
type warp struct {
	mem    *os.File
	offset int64 // where it is in memory
}

// bent is clock_gettime for clock edi and struct timespec rsi. It replaces
// clock_getres, which Go does not use; the offset follows it.
var bent = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi ; CLOCK_REALTIME is 0
	0x75, 0x0a, // jne past the addition
	0x48, 0x8b, 0x0d, 0x04, 0x00, 0x00, 0x00, // mov rcx, [rip+4]
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3, // ret
}

func newWarp() (*warp, error) {
	start, size, err := vdso()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoWarp, err)
	}
	mem, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoWarp, err)
	}
	w := &warp{mem: mem}
	if err := w.install(start, size); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errNoWarp, err), mem.Close())
	}
	return w, nil
}

// vdso finds the page.
func vdso() (start, size int64, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if f[len(f)-1] != "[vdso]" {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err = strconv.ParseInt(from, 16, 64)
		if err != nil {
			return 0, 0, err
		}
		end, err := strconv.ParseInt(to, 16, 64)
		return start, end - start, err
	}
	return 0, 0, errors.New("there is no vDSO")
}

func (w *warp) install(start, size int64) error {
	image, err := elf.NewFile(io.NewSectionReader(w.mem, start, size))
	if err != nil {
		return err
	}
	symbols, err := image.DynamicSymbols()
	if err != nil {
		return err
	}
	var tells, spare elf.Symbol
	for _, s := range symbols {
		switch s.Name {
		case "__vdso_clock_gettime":
			tells = s
		case "__vdso_clock_getres":
			spare = s
		}
	}
	if tells.Value == 0 || spare.Size < uint64(len(bent)+8) {
		return errors.New("the vDSO is not as expected")
	}
	at := start + int64(spare.Value)
	w.offset = at + int64(len(bent))
	if _, err := w.mem.WriteAt(append(bent, make([]byte, 8)...), at); err != nil {
		return err
	}
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(int32(int64(spare.Value)-int64(tells.Value)-5)))
	_, err = w.mem.WriteAt(jump, start+int64(tells.Value))
	return err
}

// jump sets the time of day that much off, and 0 to right.
func (w *warp) jump(by time.Duration) error {
	_, err := w.mem.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(int64(by/time.Second))), w.offset)
	return err
}

func (w *warp) close() error { return w.mem.Close() }
