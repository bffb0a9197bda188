package sqlite

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// TimeFormat is how a time.Time is written and an integer read; see pool.TimeFormat.
type TimeFormat string

const (
	timeUnix      TimeFormat = "unix"
	timeUnixMilli TimeFormat = "unix_milli"
	timeUnixMicro TimeFormat = "unix_micro"
	timeUnixNano  TimeFormat = "unix_nano"
)

// timeLayout is that of text, the default, for time.Format.
const timeLayout = "2006-01-02 15:04:05.000000000-07:00"

// Check refuses times that cannot be written: in a year that the text has no room
// for, or that the integer has none for.
func (f TimeFormat) Check(args []Argument) error {
	for i := range args {
		if args[i].Kind != Time {
			continue
		}
		first, last := 0, 9999
		if f == timeUnixNano {
			first, last = 1678, 2261
		}
		if y := args[i].Time().Year(); y < first || y > last {
			return ArgumentsError(fmt.Sprintf("argument %d: a time in the year %d; those from %04d to %d can be written", i+1, y, first, last))
		}
	}
	return nil
}

// integer returns the integer that stands for t. ok is false where text does.
func (f TimeFormat) integer(t time.Time) (n int64, ok bool) {
	switch f {
	case timeUnix:
		return t.Unix(), true
	case timeUnixMilli:
		return t.UnixMilli(), true
	case timeUnixMicro:
		return t.UnixMicro(), true
	case timeUnixNano:
		return t.UnixNano(), true
	}
	return 0, false
}

// readInteger returns the time that an integer stands for. ok is false where
// integers are not times.
func (f TimeFormat) readInteger(n int64) (t time.Time, ok bool) {
	switch f {
	case timeUnix:
		t = time.Unix(n, 0)
	case timeUnixMilli:
		t = time.UnixMilli(n)
	case timeUnixMicro:
		t = time.UnixMicro(n)
	case timeUnixNano:
		t = time.Unix(0, n)
	default:
		return time.Time{}, false
	}
	return t.UTC(), true
}

// isTimeType reports that a column is declared as a time: as DATE, DATETIME or
// TIMESTAMP, whatever follows, such as a precision or WITH TIME ZONE. TIME is the
// time of a day, and stays text. declared is in upper case.
func isTimeType(declared string) bool {
	word := declared
	if i := strings.IndexAny(declared, "( "); i >= 0 {
		word = declared[:i]
	}
	return slices.Contains([]string{"DATE", "DATETIME", "TIMESTAMP", "TIMESTAMPTZ"}, word)
}

// ParseTime reads what SQLite's functions, modernc's driver and mattn's write: a
// date, with a time of day behind a space or a T, with a zone behind that. Text
// without a zone is UTC, as SQLite has it. It also reads time.Time.String, which
// modernc's driver writes unless told otherwise. The time returned is in UTC.
func ParseTime(text string) (t time.Time, ok bool) {
	if len(text) == len(timeLayout) { // most likely our own
		if t, err := time.Parse(timeLayout, text); err == nil {
			return t.UTC(), true
		}
	}
	const day = len("2006-01-02")
	layout, rest := "2006-01-02", ""
	if len(text) > day && (text[day] == ' ' || text[day] == 'T') {
		layout += text[day : day+1]
		rest = text[day+1:]
		zone := strings.IndexAny(rest, " +-Z")
		if zone < 0 {
			zone = len(rest)
		}
		switch strings.Count(rest[:zone], ":") {
		case 1:
			layout += "15:04"
		case 2:
			layout += "15:04:05" // time.Parse takes a fraction too
		default:
			return time.Time{}, false
		}
		rest = rest[zone:]
		if strings.HasPrefix(rest, " ") {
			layout, rest = layout+" ", rest[1:]
			var name string
			if rest, name, ok = strings.Cut(rest, " "); ok {
				if !isZoneName(name) {
					return time.Time{}, false
				}
				text = strings.TrimSuffix(text, " "+name)
			}
		}
	} else if text = strings.TrimSuffix(text, "Z"); len(text) > day {
		return time.Time{}, false
	}
	switch {
	case rest == "":
	case rest == "Z":
		layout += "Z"
	case len(rest) == len("-07:00") && rest[3] == ':':
		layout += "-07:00"
	case len(rest) == len("-0700"):
		layout += "-0700"
	case len(rest) == len("-07"):
		layout += "-07"
	default:
		return time.Time{}, false
	}
	t, err := time.Parse(layout, text)
	return t.UTC(), err == nil
}

// isZoneName reports that name is what time.Time.String writes behind the offset:
// the zone's abbreviation, or its offset again, and perhaps a monotonic reading.
func isZoneName(name string) bool {
	name, monotonic, _ := strings.Cut(name, " ")
	return name != "" && (monotonic == "" || strings.HasPrefix(monotonic, "m=")) && !strings.Contains(monotonic, " ")
}
