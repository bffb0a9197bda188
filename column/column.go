// Package column has the Go types of columns that are more than SQL's own:
// times and enumerations. It imports the standard library alone, so that
// generated code can.
package column

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// Time is a moment, stored as nanoseconds since 1970. The zero Time is stored as
// NULL. Years from 1678 to 2262 fit.
type Time struct{ time.Time }

// At returns t as it comes back from the database: in UTC, without a monotonic reading.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{time.Unix(0, t.UnixNano()).UTC()}
}

// Value implements driver.Valuer. A year that does not fit is an error.
func (t Time) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	if !time.Unix(0, t.UnixNano()).Equal(t.Time) {
		return nil, fmt.Errorf("column: %v does not fit into nanoseconds since 1970", t.Time)
	}
	return t.UnixNano(), nil
}

// Scan implements sql.Scanner. It takes an integer or NULL.
func (t *Time) Scan(src any) error {
	switch ns := src.(type) {
	case int64:
		*t = Time{time.Unix(0, ns).UTC()}
	case nil:
		*t = Time{}
	default:
		return fmt.Errorf("column: %T is no time; nanoseconds since 1970 are, as an INTEGER", src)
	}
	return nil
}

// Category groups file types.
type Category string

// The categories of file types.
const (
	Document Category = "document"
	Image    Category = "image"
	Audio    Category = "audio"
	Video    Category = "video"
	Archive  Category = "archive"
	Code     Category = "code"
	Data     Category = "data"
	Other    Category = "other"
)

// PermissionState tells whether a directory may be read.
type PermissionState string

// The permission states of directories.
const (
	PermissionUnknown PermissionState = "unknown"
	PermissionGranted PermissionState = "granted"
	PermissionDenied  PermissionState = "denied"
)

// CloudProvider is the service that a file is synchronised with.
type CloudProvider string

// The cloud providers.
const (
	NoCloud     CloudProvider = "none"
	ICloud      CloudProvider = "icloud"
	Dropbox     CloudProvider = "dropbox"
	GoogleDrive CloudProvider = "google-drive"
	OneDrive    CloudProvider = "onedrive"
)

// CloudStatus tells where a file's content is.
type CloudStatus string

// The cloud states of files.
const (
	Local      CloudStatus = "local"
	Downloaded CloudStatus = "downloaded"
	CloudOnly  CloudStatus = "cloud-only"
)

// Operation is how an indexing run ended.
type Operation string

// The operations of the indexing log.
const (
	Indexed   Operation = "index"
	Cancelled Operation = "cancelled"
	Failed    Operation = "failed"
)
