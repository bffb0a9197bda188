// Package powerfs is a file system that loses what was not synced when its
// power is cut.
package powerfs
