package pool

// AfterCommit has fn called once the outermost transaction is committed, and
// durable as far as Config.Synchronous goes: in the order of registration, before
// InTx, Batch or Commit returns, and after the write lane is given back. fn is never
// called if the transaction is undone, or the savepoint in which it was registered;
// it is called once, though the function that registered it ran more than once. At
// the end of a View it is called if View returns nil; a View within a transaction is
// a part of that one. After the transaction's end AfterCommit does nothing, nor does
// it with a nil fn.
//
// fn may use the pool, with a context of its own: the transaction's has ended. A
// panic in it, or a runtime.Goexit, reaches the caller of InTx after the others have
// been called; the commit stands.
func (t *Tx) AfterCommit(fn func()) {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if fn != nil && c.admit(t.uncancellable()) == nil {
		t.after.functions = append(t.after.functions, fn)
	}
}

// afterCommit are the functions that wait for a commit: those of a transaction, a
// savepoint, or a batch's member. conn.mu guards them until their end.
type afterCommit struct {
	functions []func()
	outer     *afterCommit // These wait for the transaction around it; nil if there is none.
}

// keep hands the functions on to the transaction around, whose end decides. What
// is undone is not handed on.
func (a *afterCommit) keep() {
	a.outer.functions = append(a.outer.functions, a.functions...)
}

// leave ends it for a part of a transaction, which may outlast that in somebody's
// hands and may not keep it alive.
func (a *afterCommit) leave() { *a = afterCommit{} }

// call calls them all, though some of them may panic.
func (a *afterCommit) call() {
	defer func() {
		if len(a.functions) > 0 {
			a.call()
		}
	}()
	for len(a.functions) > 0 {
		fn := a.functions[0]
		a.functions = a.functions[1:]
		fn()
	}
}
