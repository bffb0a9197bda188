#include <pthread.h>
#include <signal.h>
#include "bridge.h"
#include "_cgo_export.h"

#define DQLITE_VOTER 0

static int dial(void *handle, const char *address, int *fd)
{
	return sqlaneDial((uintptr_t)handle, (char *)address, fd);
}

int sqlane_set_connect(dqlite_node *node, uintptr_t handle)
{
	return dqlite_node_set_connect_func(node, dial, (void *)handle);
}

/* The threads that a node makes inherit the mask of who starts it: no signal is
 * theirs. A write to a peer that is gone must not raise SIGPIPE, and those of the
 * process belong to Go. What a fault of the thread itself raises stays. */
int sqlane_start(dqlite_node *node)
{
	sigset_t all, old;
	int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF};
	unsigned i;
	int rv;

	sigfillset(&all);
	for (i = 0; i < sizeof faults / sizeof *faults; i++) {
		sigdelset(&all, faults[i]);
	}
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rv = dqlite_node_start(node);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rv;
}

int sqlane_recover(dqlite_node *node, dqlite_node_id id, const char *address)
{
	dqlite_node_info_ext info = {
		.size = sizeof info,
		.id = id,
		.address = (uint64_t)(uintptr_t)address,
		.dqlite_role = DQLITE_VOTER,
	};
	return dqlite_node_recover_ext(node, &info, 1);
}
