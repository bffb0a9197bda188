package pool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// moment has a zone that has no abbreviation of letters.
func moment(t testing.TB) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, "2024-07-01T14:30:45+05:45")
	require.NoError(t, err)
	return at
}

const momentText = "2024-07-01 08:45:45.000000000+00:00"

// timely is a driver.Valuer with a time in it.
type timely struct{ at time.Time }

func (v timely) Value() (driver.Value, error) { return v.at, nil }

func TestATimeIsWrittenInUTCAndFindsItsRow(t *testing.T) {
	at := moment(t)
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		perform(t, on, "CREATE TABLE events (at DATETIME, raw TEXT)")
		for _, arg := range []any{at, &at, timely{at}, sql.NullTime{Time: at, Valid: true}, sql.Null[time.Time]{V: at, Valid: true}, at.Local(), at.UTC()} {
			perform(t, on, "DELETE FROM events")
			perform(t, on, "INSERT INTO events VALUES (?1, ?1)", arg)
			require.Equal(t, momentText, value(t, on, "SELECT raw FROM events"))
			back := value(t, on, "SELECT at FROM events").(time.Time)
			require.Equal(t, at.UTC(), back, "in UTC")
			require.EqualValues(t, 1, value(t, on, "SELECT count(*) FROM events WHERE at = ?", back))
			require.EqualValues(t, 1, value(t, on, "SELECT count(*) FROM events WHERE at = :at AND raw = :at", sql.Named("at", arg)))
			require.Equal(t, "2024-07-01", value(t, on, "SELECT date(at) || '' FROM events"))
			require.EqualValues(t, at.Unix(), value(t, on, "SELECT unixepoch(at) FROM events"))
		}
		for _, none := range []any{nil, (*time.Time)(nil), sql.NullTime{}} {
			require.Equal(t, "null", value(t, on, "SELECT typeof(?)", none))
		}
		perform(t, on, "DELETE FROM events; INSERT INTO events VALUES (?, 'first'); INSERT INTO events VALUES (?, 'second')", at, at.Add(time.Nanosecond))
		require.Equal(t, "second", value(t, on, "SELECT raw FROM events WHERE at > ?", at))
		require.Equal(t, at.UTC(), value(t, on, "INSERT INTO events VALUES (?, '') RETURNING at", at))
	})
}

func TestTimesSortAsText(t *testing.T) {
	p := open(t, pool.Config{})
	run(t, p, "CREATE TABLE events (n INTEGER, at TIMESTAMP)")
	at := moment(t)
	ascending := []time.Time{
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(33, 4, 3, 15, 0, 0, 0, time.UTC), time.Unix(0, 0), at, at.Add(1),
		at.Add(10).In(time.FixedZone("", -11*3600)), at.Add(100 * time.Millisecond), at.Add(time.Second), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
	}
	for i, at := range ascending {
		require.NoError(t, send(t.Context(), p, "INSERT INTO events VALUES (?, ?)", i, at))
		var back time.Time
		require.NoError(t, p.DB().QueryRowContext(t.Context(), "SELECT at FROM events WHERE n = ?", i).Scan(&back))
		require.True(t, at.Equal(back), "%v %v", at, back)
	}
	require.EqualValues(t, 0, get(t, p, "SELECT count(*) FROM (SELECT n, row_number() OVER (ORDER BY at) - 1 AS place FROM events) WHERE n <> place"))
}

func TestAYearWithoutRoomIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	besideOthers(t) // for it takes long
	for _, c := range []struct {
		format pool.TimeFormat
		at     time.Time
		year   string
	}{
		{"", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "10000"},
		{pool.TimeText, time.Date(9999, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600)), "10000"},
		{pool.TimeText, time.Date(-1, 12, 31, 0, 0, 0, 0, time.UTC), "-1"},
		{pool.TimeText, time.Date(0, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600)), "-1"},
		{pool.TimeUnix, time.Date(12024, 1, 1, 0, 0, 0, 0, time.UTC), "12024"},
		{pool.TimeUnixNano, time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC), "2262"},
		{pool.TimeUnixNano, time.Date(1677, 1, 1, 0, 0, 0, 0, time.UTC), "1677"},
	} {
		onEveryFace(t, pool.Config{TimeFormat: c.format}, func(t *testing.T, p *pool.Pool, on face) {
			batches := p.Stats().Batches
			_, err := on.ExecContext(t.Context(), "INSERT INTO heap VALUES (1); INSERT INTO heap VALUES (?)", c.at)
			require.ErrorContains(t, err, c.year)
			_, err = on.ExecContext(t.Context(), "INSERT INTO heap VALUES (:at)", sql.Named("at", c.at))
			require.ErrorContains(t, err, "argument 1")
			var v any
			require.ErrorContains(t, on.QueryRowContext(t.Context(), "INSERT INTO heap VALUES (?) RETURNING b", c.at).Scan(&v), c.year)
			require.Equal(t, batches, p.Stats().Batches)
			require.EqualValues(t, 0, value(t, on, "SELECT count(*) FROM heap"))
		})
	}
}

// TestATimeIsReadAsWhoeverHasWrittenIt lists what SQLite's functions, modernc's
// driver and mattn's write, and what time.Time.String does.
func TestATimeIsReadAsWhoeverHasWrittenIt(t *testing.T) {
	besideOthers(t) // for it takes long
	at := time.Date(2024, 7, 1, 8, 45, 45, 0, time.UTC)
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		perform(t, on, "CREATE TABLE events (at DATETIME)")
		for text, want := range map[string]time.Time{
			momentText:                                      at,
			"2024-07-01":                                    at.Truncate(24 * time.Hour),
			"2024-07-01Z":                                   at.Truncate(24 * time.Hour),
			"2024-07-01 08:45":                              at.Truncate(time.Minute),
			"2024-07-01T08:45":                              at.Truncate(time.Minute),
			"2024-07-01 08:45Z":                             at.Truncate(time.Minute),
			"2024-07-01 14:30+05:45":                        at.Truncate(time.Minute),
			"2024-07-01 08:45:45":                           at,
			"2024-07-01T08:45:45":                           at,
			"2024-07-01T08:45:45Z":                          at,
			"2024-07-01 08:45:45Z":                          at,
			"2024-07-01 08:45:45 Z":                         at,
			"2024-07-01T14:30:45+05:45":                     at,
			"2024-07-01 14:30:45 +05:45":                    at,
			"2024-07-01 14:30:45+0545":                      at,
			"2024-07-01 03:45:45-05":                        at,
			"2024-07-01 14:30:45.5+05:45":                   at.Add(time.Second / 2),
			"2024-07-01 08:45:45.123":                       at.Add(123 * time.Millisecond),
			"2024-07-01T08:45:45.123456789Z":                at.Add(123456789),
			"2024-07-01 03:15:45.000000001-05:30":           at.Add(1),
			"2024-07-01 14:30:45 +0545 +0545":               at,
			"2024-07-01 14:30:45 +0545 +0545 m=+0.24":       at,
			"2024-07-01 14:30:45 +0545 +0545 m=-0.24":       at,
			"2024-07-01 10:45:45 +0200 CEST":                at,
			"2024-07-01 10:45:45 +0200 CEST m=+12.5":        at,
			"2024-07-01 10:45:45.5 +0200 +02 m=+0.1":        at.Add(time.Second / 2),
			"2024-07-01 08:45:45 +0000 UTC":                 at,
			"2024-07-01 08:45:45.123456789 +0000 UTC m=+0.": at.Add(123456789),
		} {
			perform(t, on, "DELETE FROM events")
			perform(t, on, "INSERT INTO events VALUES (?)", text)
			require.Equal(t, want, value(t, on, "SELECT at FROM events"), text)
			require.Equal(t, text, value(t, on, "SELECT '' || at FROM events"), "it is text elsewhere")
		}
		for _, text := range []string{
			"", "soon", "2024", "2024-07", "2024-13-01", "2024-07-01 25:00:00", "08:45:45", "2024-07-01 08", "2024-07-01 08:45:45 and so on",
			"2024-07-01 10:45:45 +0200 CEST m", "2024-07-01 10:45:45 +0200 CEST m=1 2", "2024-07-01+05:45", "2024-07-01 08:45:45 +0200 ", "2024-07-01x08:45:45",
			"2024-07-01 8:45:45 PM", "20240701", "2460492.865104", "now", "12024-07-01 00:00:00", "2024-07-01 08:45:45+5:45", "2024-07-01 08:45:45+05.45",
		} {
			perform(t, on, "DELETE FROM events")
			perform(t, on, "INSERT INTO events VALUES (x'' || ?)", text)
			require.Equal(t, text, value(t, on, "SELECT CAST(at AS TEXT) FROM events"))
			if got := value(t, on, "SELECT at FROM events"); text != "20240701" && text != "2024" && text != "2460492.865104" { // numbers, by the column's affinity
				require.Equal(t, text, got, "it stays text")
			}
		}
		perform(t, on, "DELETE FROM events")
		perform(t, on, "INSERT INTO events VALUES (1719823545), (2460492.5), (NULL), (x'00')")
		rows, err := on.QueryContext(t.Context(), "SELECT at FROM events ORDER BY rowid")
		require.NoError(t, err)
		defer rows.Close()
		for _, want := range []any{int64(1719823545), 2460492.5, nil, []byte{0}} {
			require.True(t, rows.Next())
			var got any
			require.NoError(t, rows.Scan(&got))
			require.Equal(t, want, got, "what is no text stays what it is")
		}
		require.False(t, rows.Next())
	})
}

func TestTheDeclaredTypeSaysWhetherAColumnIsATime(t *testing.T) {
	p := open(t, pool.Config{})
	for declared, isTime := range map[string]bool{
		"DATE": true, "date": true, "DATETIME": true, "TIMESTAMP": true, "DATETIME(6)": true, "datetime (3)": true, "TIMESTAMPTZ": true,
		"TIMESTAMP WITH TIME ZONE": true, "DATETIME DEFAULT CURRENT_TIMESTAMP": true,
		"TIME": false, "TEXT": false, "UPDATED": false, "DATES": false, "DATETIMEOFFSET": false, "VARCHAR(10)": false, "": false,
	} {
		run(t, p, "CREATE TABLE declared (at "+declared+")")
		run(t, p, "INSERT INTO declared VALUES (?)", moment(t))
		got := value(t, p.DB(), "SELECT at FROM declared")
		if isTime {
			require.Equal(t, moment(t).UTC(), got, declared)
		} else {
			require.Equal(t, momentText, got, declared)
		}
		run(t, p, "DROP TABLE declared")
	}
}

func TestTheOtherDriversFindTheTimeThatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	run(t, p, "CREATE TABLE events (at DATETIME)")
	run(t, p, "INSERT INTO events VALUES (?)", moment(t))
	bare, err := sql.Open("sqlite", "file:"+path)
	require.NoError(t, err)
	defer bare.Close()
	var at time.Time
	require.NoError(t, bare.QueryRowContext(t.Context(), "SELECT at FROM events").Scan(&at))
	require.True(t, moment(t).Equal(at))
	_, err = bare.ExecContext(t.Context(), "INSERT INTO events VALUES (?)", moment(t)) // as String has it
	require.NoError(t, err)
	require.Equal(t, moment(t).UTC(), value(t, p.DB(), "SELECT at FROM events WHERE rowid = 2"))
}

func TestATimeMayBeAnInteger(t *testing.T) {
	besideOthers(t) // for it takes long
	at := moment(t).Add(123456789)
	for format, want := range map[pool.TimeFormat]struct {
		n    int64
		kept time.Duration
	}{
		pool.TimeUnix:      {at.Unix(), time.Second},
		pool.TimeUnixMilli: {at.UnixMilli(), time.Millisecond},
		pool.TimeUnixMicro: {at.UnixMicro(), time.Microsecond},
		pool.TimeUnixNano:  {at.UnixNano(), 1},
	} {
		cfg, err := pool.ParseConfig("app.db?time_format=" + string(format))
		require.NoError(t, err)
		require.Equal(t, format, cfg.TimeFormat)
		onEveryFace(t, pool.Config{TimeFormat: format}, func(t *testing.T, _ *pool.Pool, on face) {
			perform(t, on, "CREATE TABLE events (at TIMESTAMP, plain INTEGER)")
			perform(t, on, "INSERT INTO events VALUES (?1, ?1)", at)
			require.Equal(t, want.n, value(t, on, "SELECT plain FROM events"))
			require.Equal(t, at.UTC().Truncate(want.kept), value(t, on, "SELECT at FROM events"))
			perform(t, on, "UPDATE events SET at = '2024-07-01 08:45:45'")
			require.Equal(t, moment(t).UTC(), value(t, on, "SELECT at FROM events"), "text is read whatever is written")
			perform(t, on, "UPDATE events SET at = -1")
			require.True(t, value(t, on, "SELECT at FROM events").(time.Time).Before(time.Unix(0, 0)))
		})
	}
	for _, format := range []string{"rfc3339", "TEXT", "unix_second"} {
		_, err := pool.ParseConfig("app.db?time_format=" + format)
		require.ErrorIs(t, err, pool.ErrConfig)
		require.ErrorContains(t, err, "TimeFormat")
		require.ErrorContains(t, err, format)
	}
	cfg, err := pool.ParseConfig("app.db?time_format=text")
	require.NoError(t, err)
	require.Equal(t, pool.TimeText, cfg.TimeFormat)
}

func TestOnConnectWritesTimesAsTheOthersDo(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 1, OnConnect: func(ctx context.Context, conn *pool.Lease) error {
		_, err := conn.ExecContext(ctx, "CREATE TEMP TABLE since (at TEXT)")
		if err == nil {
			_, err = conn.ExecContext(ctx, "INSERT INTO since VALUES (?)", time.Unix(0, 1))
		}
		return err
	}})
	l := acquire(t, p)
	defer l.Release()
	require.Equal(t, "1970-01-01 00:00:00.000000001+00:00", value(t, l, "SELECT at FROM since"))
}
