// Command pocketbase is PocketBase with its databases on pools of sqlane. It has the
// commands and flags of PocketBase's own: see README.md.
package main

import (
	"fmt"
	"os"

	"github.com/pocketbase/pocketbase"
)

func main() {
	var on databases
	app := pocketbase.NewWithConfig(pocketbase.Config{DBConnect: on.connect})
	// It warns of every version of the driver but the one that it was released with.
	app.OnBootstrap().Unbind(pocketbase.ModerncDepsCheckHookId)
	if err := app.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
