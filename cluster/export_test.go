package cluster

// WithSnapshots has a node take a snapshot after so many entries of its log, and keep
// so many of those before it.
func (cfg Config) WithSnapshots(threshold, trailing uint) Config {
	cfg.snapshotThreshold, cfg.snapshotTrailing = threshold, trailing
	return cfg
}
