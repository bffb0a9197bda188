package pool

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParseConfig reads a DSN like
//
//	file:app.db?max_conns=8&acquire_timeout=2s&synchronous=normal
//
// The "file:" may be left out, once. In the path, %3F stands for a question mark, as
// in any URI. The keys are the names of Config's fields in snake_case; durations
// are written as time.ParseDuration reads them, -1 turns off what a negative
// value turns off, and pragmas=name=value may come several times. Unknown,
// repeated and faulty keys are ErrConfig, and so is what Validate finds; the
// error names them all.
func ParseConfig(dsn string) (Config, error) {
	var cfg Config
	path, query, _ := strings.Cut(dsn, "?")
	var faults []error
	if strings.Contains(path, "#") {
		faults = append(faults, errors.New("a # in the path is written %23"))
	}
	rest := strings.TrimPrefix(path, "file:")
	if rest != path && strings.HasPrefix(rest, "//") { // file:///abs and file://localhost/abs
		authority, abs, _ := strings.Cut(rest[2:], "/")
		if authority != "" && authority != "localhost" {
			faults = append(faults, fmt.Errorf("the host %q in the path; a file is on this one", authority))
		}
		rest = "/" + abs
	}
	var err error
	if cfg.Path, err = url.PathUnescape(rest); err != nil {
		faults = append(faults, err)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		faults = append(faults, err)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		set, known := dsnKeys[key]
		switch {
		case !known:
			faults = append(faults, fmt.Errorf("unknown key %q; there are %s", key, strings.Join(slices.Sorted(maps.Keys(dsnKeys)), ", ")))
			continue
		case len(values[key]) > 1 && key != "pragmas":
			faults = append(faults, fmt.Errorf("%s is given %d times", key, len(values[key])))
			continue
		}
		for _, value := range values[key] {
			if err := set(&cfg, value); err != nil {
				faults = append(faults, fmt.Errorf("%s=%s: %w", key, value, err))
			}
		}
	}
	if len(faults) == 0 {
		return cfg, cfg.Validate()
	}
	return Config{}, &Error{Op: "parse config", Path: cfg.Path, Err: ErrConfig, Cause: errors.Join(faults...)}
}

// dsnKeys set the fields that text can.
var dsnKeys = map[string]func(c *Config, value string) error{
	"read_only":                truth(func(c *Config) *bool { return &c.ReadOnly }),
	"immutable":                truth(func(c *Config) *bool { return &c.Immutable }),
	"external_checkpoints":     truth(func(c *Config) *bool { return &c.ExternalCheckpoints }),
	"trace_arguments":          truth(func(c *Config) *bool { return &c.TraceArguments }),
	"max_conns":                number(func(c *Config) *int { return &c.MaxConns }),
	"min_conns":                number(func(c *Config) *int { return &c.MinConns }),
	"max_waiters":              number(func(c *Config) *int { return &c.MaxWaiters }),
	"statement_cache_size":     number(func(c *Config) *int { return &c.StatementCacheSize }),
	"acquire_timeout":          duration(func(c *Config) *time.Duration { return &c.AcquireTimeout }),
	"busy_timeout":             duration(func(c *Config) *time.Duration { return &c.BusyTimeout }),
	"max_conn_lifetime":        duration(func(c *Config) *time.Duration { return &c.MaxConnLifetime }),
	"max_conn_lifetime_jitter": duration(func(c *Config) *time.Duration { return &c.MaxConnLifetimeJitter }),
	"max_conn_idle_time":       duration(func(c *Config) *time.Duration { return &c.MaxConnIdleTime }),
	"health_check_interval":    duration(func(c *Config) *time.Duration { return &c.HealthCheckInterval }),
	"watch_interval":           duration(func(c *Config) *time.Duration { return &c.WatchInterval }),
	"slow_query":               duration(func(c *Config) *time.Duration { return &c.SlowQuery }),
	"leak_threshold":           duration(func(c *Config) *time.Duration { return &c.LeakThreshold }),
	"name":                     text(func(c *Config) *string { return &c.Name }),
	"journal_mode":             text(func(c *Config) *JournalMode { return &c.JournalMode }),
	"synchronous":              text(func(c *Config) *Synchronous { return &c.Synchronous }),
	"time_format":              text(func(c *Config) *TimeFormat { return &c.TimeFormat }),
	"pragmas": func(c *Config, value string) error {
		name, value, ok := strings.Cut(value, "=")
		if !ok {
			return errors.New("write it as pragmas=name=value")
		}
		if c.Pragmas == nil {
			c.Pragmas = make(map[string]string)
		}
		c.Pragmas[name] = value
		return nil
	},
}

func truth(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, value string) (err error) {
		if *field(c), err = strconv.ParseBool(value); err != nil {
			return errors.New("neither true nor false")
		}
		return nil
	}
}

func number(field func(*Config) *int) func(*Config, string) error {
	return func(c *Config, value string) (err error) {
		if *field(c), err = strconv.Atoi(value); err != nil {
			return errors.New("not a whole number")
		}
		return nil
	}
}

func duration(field func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, value string) (err error) {
		if value == "-1" {
			*field(c) = -1
			return nil
		}
		if *field(c), err = time.ParseDuration(value); err != nil {
			return errors.New("not a duration like 1.5s, 200ms or -1")
		}
		return nil
	}
}

func text[T ~string](field func(*Config) *T) func(*Config, string) error {
	return func(c *Config, value string) error {
		if value == "" {
			return errors.New("empty")
		}
		*field(c) = T(value)
		return nil
	}
}
