package peers

import lib "modernc.org/sqlite/lib"

// HasMutex reports that SQLite locks the floor's connection at every call.
func HasMutex(db DB) bool {
	d := db.(*floorDB)
	return lib.Xsqlite3_db_mutex(d.tls, d.db) != 0
}

// Texts are the queries that do not go through package gen.
func Texts() map[string]string {
	return map[string]string{
		"getFileByPath": getFileByPath, "listDirectory": listDirectory, "searchFilesByPrefix": searchFilesByPrefix, "upsertFile": upsertFile,
		"markFileSeen": markFileSeen, "appendLog": appendLog,
	}
}
