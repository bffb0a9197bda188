package pool

// TimeFormat is how a time.Time is written, and with it how an integer is read
// in a column that is declared as a time. The zero value is TimeText.
type TimeFormat string

const (
	// TimeText writes UTC as "2006-01-02 15:04:05.000000000+00:00". Text of that
	// form sorts as the times do, equal times are equal text, and SQLite's own
	// functions read it (https://www.sqlite.org/lang_datefunc.html#time_values).
	// Integers are read as integers.
	TimeText TimeFormat = "text"
	// TimeUnix writes whole seconds since 1970, as SQLite's unixepoch() has them.
	TimeUnix TimeFormat = "unix"
	// TimeUnixMilli writes milliseconds since 1970.
	TimeUnixMilli TimeFormat = "unix_milli"
	// TimeUnixMicro writes microseconds since 1970.
	TimeUnixMicro TimeFormat = "unix_micro"
	// TimeUnixNano writes nanoseconds since 1970, in the years 1678 to 2261.
	TimeUnixNano TimeFormat = "unix_nano"
)

var timeFormats = []TimeFormat{TimeText, TimeUnix, TimeUnixMilli, TimeUnixMicro, TimeUnixNano}
