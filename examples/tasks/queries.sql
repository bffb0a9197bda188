-- name: ListTasks :many
-- ListTasks returns the newest tasks that are done, or that are not.
SELECT * FROM tasks WHERE done = @done ORDER BY id DESC LIMIT @count;

-- name: CreateTask :one
-- CreateTask adds a task. ErrDuplicate: one of that title is open.
INSERT INTO tasks (title) VALUES (@title) RETURNING *;

-- name: SetDone :one
-- SetDone marks a task as done, or as open again. ErrNotFound: there is none.
UPDATE tasks SET done = @done WHERE id = @id RETURNING *;

-- name: DeleteTask :one
-- DeleteTask removes a task, and returns what it was.
DELETE FROM tasks WHERE id = @id RETURNING *;

-- name: GetRequest :one
-- GetRequest returns what the request of that key has added.
SELECT * FROM requests WHERE key = @key;

-- name: CreateRequest :exec
-- CreateRequest remembers what a request has added.
INSERT INTO requests (key, task_id, title) VALUES (@key, @task_id, @title);

-- name: ForgetRequests :exec
-- ForgetRequests forgets what is older than a day: nobody sends it again.
DELETE FROM requests WHERE made_at < unixepoch() - 86400;
