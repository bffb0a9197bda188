#include <dqlite.h>
#include <stdint.h>

int sqlane_create(dqlite_node_id id, const char *address, const char *dir, dqlite_node **node);
int sqlane_set_connect(dqlite_node *node, uintptr_t handle);
int sqlane_start(dqlite_node *node);
int sqlane_recover(dqlite_node *node, dqlite_node_id id, const char *address);
