package pool

import "time"

// TakeAnyTime has batches go on for as long as somebody waits to join: a slow
// machine would end them early.
func TakeAnyTime(p *Pool) { p.batchTime = time.Hour }
