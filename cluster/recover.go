package cluster

import (
	"errors"
	"fmt"
	"os"

	"github.com/sqlane/sqlane/cluster/internal/libdqlite"
	"github.com/sqlane/sqlane/pool"
)

// Recover gives up a cluster that has lost its majority for good: the node of cfg.Dir,
// which must not run, becomes the only member, with all that it has. What the lost ones
// had acknowledged and it has not is lost. Nodes that survived, too, must never run
// again as they are: delete their Dirs and have them join anew.
func Recover(cfg Config) (err error) {
	if err := cfg.validate(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cluster: recovering %s: %w", cfg.Dir, err)
		}
	}()
	if _, err := os.Stat(cfg.Dir); err != nil { // else it would be made
		return fmt.Errorf("%w: %w", pool.ErrConfig, err)
	}
	f, err := openFolder(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	id, err := f.identity()
	if err != nil {
		return err
	}
	if id == nil || id.State != stateMember || id.Address != cfg.Address {
		return fmt.Errorf("%w: the Dir is not that of a member at %s", pool.ErrConfig, cfg.Address)
	}
	return libdqlite.Recover(id.ID, id.Address, cfg.Dir)
}
