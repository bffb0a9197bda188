//go:build !mattn

package peers

func mattn() []Peer { return nil }
