package main

import (
	"context"
	"encoding/json"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/repo"
)

// change is one row to be written, or removed.
type change struct {
	entry   fileRow
	remove  int64 // the id of the row; 0: it is written
	isNew   bool
	subtree bool // with the directory of that path, and everything below it
}

// fileRow is one of the entries that UpsertFiles takes.
type fileRow struct {
	DirectoryID   int64                `json:"directory_id"`
	Path          string               `json:"path"`
	Name          string               `json:"name"`
	NameLower     string               `json:"name_lower"`
	Extension     string               `json:"extension"`
	IsDirectory   bool                 `json:"is_directory"`
	Size          int64                `json:"size"`
	DateCreated   int64                `json:"date_created"`
	DateModified  int64                `json:"date_modified"`
	CloudProvider column.CloudProvider `json:"cloud_provider"`
	CloudStatus   column.CloudStatus   `json:"cloud_status"`
	IndexedAt     int64                `json:"indexed_at"`
}

// directoryRow is one of the directories that UpsertDirectories takes.
type directoryRow struct {
	Path     string `json:"path"`
	ParentID int64  `json:"parent_id"`
}

// batch is what changes come to in statements.
type batch struct {
	subtrees           []string // paths of directories that go, with everything below them
	removed            []int64
	files, directories string // JSON; empty if there are none
}

func newBatch(changes []change) (b batch, err error) {
	var files []fileRow
	var directories []directoryRow
	for _, c := range changes {
		if c.subtree {
			b.subtrees = append(b.subtrees, c.entry.Path)
		}
		if c.remove != 0 {
			b.removed = append(b.removed, c.remove)
			continue
		}
		files = append(files, c.entry)
		if c.entry.IsDirectory {
			directories = append(directories, directoryRow{c.entry.Path, c.entry.DirectoryID})
		}
	}
	if b.files, err = array(files); err == nil {
		b.directories, err = array(directories)
	}
	return b, err
}

// array is a list as JSON, or nothing if it is empty.
func array[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	text, err := json.Marshal(list)
	return string(text), err
}

// write executes a batch. What goes makes way for what comes.
func (b batch) write(ctx context.Context, tx *repo.Tx) error {
	for _, path := range b.subtrees {
		if _, err := tx.DeleteDirectories(ctx, path); err != nil {
			return err
		}
	}
	if len(b.removed) > 0 {
		if _, err := tx.DeleteFiles(ctx, b.removed); err != nil {
			return err
		}
	}
	if b.files != "" {
		if _, err := tx.UpsertFiles(ctx, b.files); err != nil {
			return err
		}
	}
	if b.directories != "" {
		if _, err := tx.UpsertDirectories(ctx, b.directories); err != nil {
			return err
		}
	}
	return nil
}
