package peers

// Texts are the queries that do not go through package gen.
func Texts() map[string]string {
	return map[string]string{
		"getFileByPath": getFileByPath, "listDirectory": listDirectory, "upsertFile": upsertFile,
		"markFileSeen": markFileSeen, "appendLog": appendLog,
	}
}
