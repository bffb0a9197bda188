package pool

import (
	"context"
	"sync/atomic"
	"time"
)

// maintenance is what goes on beside the callers, in one goroutine that never
// makes one of them wait: connections are checked, aged, trimmed and replaced,
// and what was left behind is closed.
type maintenance struct {
	cancel  context.CancelFunc // It is nil until maintenance starts.
	done    chan struct{}      // It is closed when maintenance has ended.
	resting atomic.Bool        // No lease was given lately, and it sleeps for long. Every lease that is tracked asks, so there is no lock.
	wrote   atomic.Bool        // Somebody wrote since the log was last looked at. Every writer asks, so there is no lock.

	// The rest is its own goroutine's.
	log       logCare
	acquired  uint64        // This many leases had been given by the last round.
	again     bool          // Something could not be done because others were at work.
	nextCheck time.Time     // The next check of health is then.
	pause     time.Duration // It grows while no connection can be opened.
	notBefore time.Time     // The pause ends then.
}

func (p *Pool) startMaintenance() {
	m := &p.maintenance
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.done = cancel, make(chan struct{})
	m.nextCheck = time.Now().Add(p.cfg.HealthCheckInterval)
	m.resting.Store(true)
	go p.maintain(ctx, m)
}

func (m *maintenance) stop() {
	if m.cancel != nil {
		m.cancel()
		<-m.done
	}
}

func (p *Pool) maintain(ctx context.Context, m *maintenance) {
	defer close(m.done)
	timer := time.NewTimer(p.rest(m))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.bell:
		case <-timer.C:
		}
		tracking := p.reclaimAbandoned()
		if p.cfg.HealthCheckInterval > 0 && !time.Now().Before(m.nextCheck) {
			p.checkUp(ctx)
			m.nextCheck = time.Now().Add(p.cfg.HealthCheckInterval)
		}
		p.careForLog(ctx, m)
		p.reportLongLeases()
		if p.cfg.MaxConnIdleTime > 0 && !p.memory() {
			p.conns.trim(p.clock(), p.cfg.MaxConnIdleTime)
		}
		p.replenish(ctx, m)
		p.replaceStale(ctx, m)
		p.closeRetired()
		rest := p.rest(m)
		acquired := p.counts.acquires.Load()
		if tracking || acquired != m.acquired {
			rest = min(rest, reclaimInterval)
		} else {
			m.resting.Store(true)
		}
		m.acquired = acquired
		timer.Reset(rest)
	}
}

// rest is how long maintenance sleeps unless it is asked for.
func (p *Pool) rest(m *maintenance) time.Duration {
	rest := 10 * time.Second
	for _, d := range []time.Duration{p.cfg.HealthCheckInterval, p.cfg.MaxConnIdleTime / 4, p.cfg.MaxConnLifetime / 4, p.cfg.LeakThreshold / 4} {
		if d > 0 {
			rest = min(rest, d)
		}
	}
	if m.pause > 0 {
		rest = min(rest, time.Until(m.notBefore))
	}
	if m.wrote.Load() {
		rest = min(rest, max(time.Until(m.log.notBefore), 0)+time.Millisecond)
	}
	if m.again {
		rest = min(rest, 50*time.Millisecond)
	}
	return max(rest, 5*time.Millisecond)
}
