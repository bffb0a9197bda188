package lane

import "time"

// alarm has a lane look for waits that are over. There is one for all of them,
// since a timer for each is dear. The lane's mu guards it.
type alarm struct {
	ring  func()      // The timer calls it, in a goroutine of its own.
	timer *time.Timer // There is none before the first wait with a deadline.
	at    time.Time   // The alarm rings at this time, or not at all if it is zero.
}

// ringAt has the alarm ring at that time, or earlier if it is going to.
func (a *alarm) ringAt(at time.Time) {
	if !a.at.IsZero() && !at.Before(a.at) {
		return
	}
	a.at = at
	if a.timer == nil {
		a.timer = time.AfterFunc(time.Until(at), a.ring)
	} else {
		a.timer.Reset(time.Until(at))
	}
}

// rang notes that the alarm rang, so that any time is the earliest again.
func (a *alarm) rang() { a.at = time.Time{} }

// stop keeps the alarm from ringing.
func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}
