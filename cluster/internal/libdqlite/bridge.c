#include <pthread.h>
#include <signal.h>
#include "bridge.h"
#include "_cgo_export.h"

#define DQLITE_VOTER 0

/* The VFS that SQLite has second in its list, where it puts new ones. */
static sqlite3_vfs *second(sqlite3_vfs *instead, int replace)
{
	sqlite3_mutex *lock = sqlite3_mutex_alloc(SQLITE_MUTEX_STATIC_MAIN);
	sqlite3_vfs *first = sqlite3_vfs_find(NULL), *found;

	sqlite3_mutex_enter(lock);
	found = first->pNext;
	if (replace) {
		first->pNext = instead;
	}
	sqlite3_mutex_leave(lock);
	return found;
}

/* dqlite_node_create, when it fails in raft_init as for a damaged log, frees the node and
 * leaves its VFS in SQLite's list: all that looks for a VFS then reads freed memory
 * (https://github.com/canonical/dqlite/blob/v1.11.1/src/server.c). No other node is created
 * or destroyed meanwhile. */
int sqlane_create(dqlite_node_id id, const char *address, const char *dir, dqlite_node **node)
{
	sqlite3_vfs *before;
	int rv = sqlite3_initialize();

	if (rv != SQLITE_OK) {
		return rv;
	}
	before = second(NULL, 0);
	rv = dqlite_node_create(id, address, dir, node);
	if (rv != 0) {
		second(before, 1);
	}
	return rv;
}

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
