package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pocketbase/pocketbase"
	"github.com/sqlane/sqlane/internal/guides"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// as is the variable by which the test's own binary becomes PocketBase.
const as = "SQLANE_POCKETBASE_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(as) {
	case "sqlane":
		main()
	case "modernc":
		if err := pocketbase.New().Start(); err != nil {
			panic(err)
		}
	default:
		os.Exit(m.Run())
	}
}

const email, password = "root@example.org", "correct horse battery"

// server is a PocketBase in a process of its own.
type server struct {
	t     *testing.T
	dir   string
	url   string
	token string
	out   *bytes.Buffer // read after the end
	cmd   *exec.Cmd
}

func start(t *testing.T, kind string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), out: new(bytes.Buffer)}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0], append(args, "--dir", s.dir)...)
		cmd.Env = append(os.Environ(), as+"="+kind)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		return cmd
	}
	out, err := command("superuser", "upsert", email, password).CombinedOutput()
	require.NoError(t, err, "%s", out)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.url = "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	s.cmd = command("serve", "--http", l.Addr().String())
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
	})
	s.waitHealthy()
	// A pool makes files for their owner alone; so it is seen which of the two runs.
	info, err := os.Stat(filepath.Join(s.dir, "data.db"))
	require.NoError(t, err)
	require.Equal(t, kind == "sqlane", info.Mode().Perm() == 0o600, info.Mode())
	return s
}

func (s *server) waitHealthy() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		r, err := http.Get(s.url + "/api/health")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusOK
	}, time.Minute, 10*time.Millisecond)
	var auth struct{ Token string }
	s.do(http.MethodPost, "/api/collections/_superusers/auth-with-password", map[string]any{"identity": email, "password": password}, &auth)
	s.token = auth.Token
}

// end stops the server and looks at what it leaves.
func (s *server) end() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	err := s.cmd.Wait()
	require.NoError(s.t, err, "%s", s.out)
	for _, word := range []string{"locked", "busy", "timeout", "panic"} {
		require.NotContains(s.t, strings.ToLower(s.out.String()), word)
	}
	for _, name := range []string{"data.db", "auxiliary.db"} {
		path := filepath.Join(s.dir, name)
		for _, beside := range []string{"-wal", "-shm"} {
			require.NoFileExists(s.t, path+beside)
		}
		requireWhole(s.t, path)
	}
}

func requireWhole(t *testing.T, path string) {
	t.Helper()
	p, err := pool.Open(t.Context(), pool.Config{Path: path})
	require.NoError(t, err)
	var verdict string
	require.NoError(t, p.Reader().QueryRow(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
	require.NoError(t, p.Close())
}

// try sends a request and returns the status and the answer.
func (s *server) try(method, path string, body any) (int, []byte, error) {
	contentType := "application/json"
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case *form:
		in, contentType = &b.Buffer, b.contentType
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return 0, nil, err
		}
		in = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, in)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", s.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, text, err
}

func (s *server) do(method, path string, body, into any) {
	s.t.Helper()
	status, text, err := s.try(method, path, body)
	require.NoError(s.t, err)
	require.Less(s.t, status, 300, "%s %s: %s", method, path, text)
	if into != nil {
		require.NoError(s.t, json.Unmarshal(text, into))
	}
}

// list returns how many records a query finds, and the first ones.
func (s *server) list(query string) (total int, items []map[string]any) {
	s.t.Helper()
	var page struct {
		TotalItems int
		Items      []map[string]any
	}
	s.do(http.MethodGet, query, nil, &page)
	return page.TotalItems, page.Items
}

type form struct {
	bytes.Buffer
	contentType string
}

func formOf(t *testing.T, fields map[string]string, file, content string) *form {
	t.Helper()
	var f form
	w := multipart.NewWriter(&f.Buffer)
	for name, value := range fields {
		require.NoError(t, w.WriteField(name, value))
	}
	part, err := w.CreateFormFile("picture", file)
	require.NoError(t, err)
	_, err = io.WriteString(part, content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	f.contentType = w.FormDataContentType()
	return &f
}

// collections makes posts and their comments, which go with them.
func (s *server) collections() {
	s.t.Helper()
	public := map[string]any{"listRule": "", "viewRule": ""}
	var posts struct{ ID string }
	s.do(http.MethodPost, "/api/collections", with(public, map[string]any{"name": "posts", "type": "base", "fields": []any{
		map[string]any{"name": "title", "type": "text", "required": true},
		map[string]any{"name": "likes", "type": "number"},
		map[string]any{"name": "picture", "type": "file", "maxSelect": 1},
		map[string]any{"name": "created", "type": "autodate", "onCreate": true},
	}, "indexes": []string{"CREATE UNIQUE INDEX posts_title ON posts (title)"}}), &posts)
	s.do(http.MethodPost, "/api/collections", with(public, map[string]any{"name": "comments", "type": "base", "fields": []any{
		map[string]any{"name": "text", "type": "text"},
		map[string]any{"name": "post", "type": "relation", "collectionId": posts.ID, "cascadeDelete": true, "required": true, "maxSelect": 1},
	}}), nil)
}

func with(a, b map[string]any) map[string]any {
	for k, v := range a {
		b[k] = v
	}
	return b
}

func (s *server) create(collection string, body any) (id string) {
	s.t.Helper()
	var record struct{ ID string }
	s.do(http.MethodPost, "/api/collections/"+collection+"/records", body, &record)
	return record.ID
}

// beside runs a test on PocketBase with sqlane, and as it is.
func beside(t *testing.T, test func(t *testing.T, s *server)) {
	for _, kind := range []string{"sqlane", "modernc"} {
		t.Run(kind, func(t *testing.T) {
			s := start(t, kind)
			test(t, s)
			s.end()
		})
	}
}

func TestTheREADMEShowsWhatIsHere(t *testing.T) {
	guides.Shown(t, "README.md", "databases.go")
	blocks, _ := guides.Read(t, "README.md")
	for _, b := range blocks {
		if b.Language == "sh" {
			line := strings.Replace(b.Text, "make ", "make -C ../.. -n ", 1)
			line = strings.Replace(line, " --http", " --help --http", 1)
			out, err := guides.Run(t, ".", line)
			require.NoError(t, err, out)
		}
	}
}

func TestRecordsAreWrittenByManyAndReadByMany(t *testing.T) {
	const writers, each = 20, 10
	beside(t, func(t *testing.T, s *server) {
		s.collections()
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					status, text, err := s.try(http.MethodPost, "/api/collections/posts/records", map[string]any{"title": fmt.Sprint(w, "/", i), "likes": i})
					assert.NoError(t, err)
					assert.Equal(t, http.StatusOK, status, "%s", text)
					status, text, err = s.try(http.MethodGet, "/api/collections/posts/records?sort=-likes&filter="+url.QueryEscape("likes >= 5"), nil)
					assert.NoError(t, err)
					assert.Equal(t, http.StatusOK, status, "%s", text)
				}
			})
		}
		wg.Wait()
		total, items := s.list("/api/collections/posts/records?sort=-likes,title&perPage=3")
		require.Equal(t, writers*each, total)
		require.Equal(t, "0/9", items[0]["title"])
		status, text, err := s.try(http.MethodPost, "/api/collections/posts/records", map[string]any{"title": "0/9"})
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, string(text), "validation_not_unique")
	})
}

func TestRelationsViewsFilesAndBatches(t *testing.T) {
	beside(t, func(t *testing.T, s *server) {
		s.collections()
		post := s.create("posts", formOf(t, map[string]string{"title": "With a picture"}, "a.txt", "not a picture"))
		for i := range 3 {
			s.create("comments", map[string]any{"text": fmt.Sprint(i), "post": post})
		}
		_, items := s.list("/api/collections/comments/records?expand=post&filter=" + url.QueryEscape("post.title ~ 'picture'"))
		require.Len(t, items, 3)
		require.Contains(t, fmt.Sprint(items[0]["expand"]), "With a picture")
		_, posts := s.list("/api/collections/posts/records")
		status, text, err := s.try(http.MethodGet, fmt.Sprintf("/api/files/posts/%s/%s", post, posts[0]["picture"]), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "not a picture", string(text))

		s.do(http.MethodPost, "/api/collections", map[string]any{
			"name": "discussed", "type": "view", "listRule": "",
			"viewQuery": "SELECT p.id, p.title, count(c.id) AS comments FROM posts p LEFT JOIN comments c ON c.post = p.id GROUP BY p.id",
		}, nil)
		_, items = s.list("/api/collections/discussed/records")
		require.EqualValues(t, 3, items[0]["comments"])

		s.do(http.MethodPatch, "/api/settings", map[string]any{"batch": map[string]any{"enabled": true, "maxRequests": 10, "timeout": 30}}, nil)
		requests := func(titles ...string) map[string]any {
			var all []any
			for _, title := range titles {
				all = append(all, map[string]any{"method": "POST", "url": "/api/collections/posts/records", "body": map[string]any{"title": title}})
			}
			return map[string]any{"requests": all}
		}
		s.do(http.MethodPost, "/api/batch", requests("one", "two"), nil)
		status, _, err = s.try(http.MethodPost, "/api/batch", requests("three", "one"))
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, status)
		total, _ := s.list("/api/collections/posts/records")
		require.Equal(t, 3, total, "a batch is a transaction")

		s.do(http.MethodDelete, "/api/collections/posts/records/"+post, nil, nil)
		total, _ = s.list("/api/collections/comments/records")
		require.Zero(t, total)
	})
}

func TestACollectionIsChangedAndKeepsItsRecords(t *testing.T) {
	beside(t, func(t *testing.T, s *server) {
		s.collections()
		post := s.create("posts", map[string]any{"title": "kept", "likes": 7})
		s.create("comments", map[string]any{"text": "kept", "post": post})
		var posts struct{ Fields []map[string]any }
		s.do(http.MethodGet, "/api/collections/posts", nil, &posts)
		var fields []map[string]any
		for _, f := range posts.Fields {
			switch f["name"] {
			case "picture": // goes
				continue
			case "likes":
				f["name"] = "score"
			}
			fields = append(fields, f)
		}
		fields = append(fields, map[string]any{"name": "tags", "type": "select", "values": []string{"a", "b"}, "maxSelect": 2})
		s.do(http.MethodPatch, "/api/collections/posts", map[string]any{"fields": fields, "name": "articles", "indexes": []string{}}, nil)
		s.do(http.MethodPatch, "/api/collections/articles/records/"+post, map[string]any{"tags": []string{"a", "b"}, "score+": 1}, nil)
		_, items := s.list("/api/collections/articles/records")
		require.EqualValues(t, 8, items[0]["score"])
		require.Equal(t, []any{"a", "b"}, items[0]["tags"])
		require.NotContains(t, items[0], "picture")
		total, _ := s.list("/api/collections/comments/records?filter=" + url.QueryEscape("post.score = 8"))
		require.Equal(t, 1, total)
	})
}

func TestASubscriberIsToldOfARecord(t *testing.T) {
	beside(t, func(t *testing.T, s *server) {
		s.collections()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/realtime", nil)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		next := func() (data string) {
			for lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
					return data
				}
			}
			require.NoError(t, lines.Err())
			return ""
		}
		var connected struct{ ClientID string }
		require.NoError(t, json.Unmarshal([]byte(next()), &connected))
		s.do(http.MethodPost, "/api/realtime", map[string]any{"clientId": connected.ClientID, "subscriptions": []string{"posts/*"}}, nil)
		s.create("posts", map[string]any{"title": "news"})
		require.Contains(t, next(), `"news"`)
		cancel()
	})
}

func TestABackupIsMadeReadAndRestored(t *testing.T) {
	beside(t, func(t *testing.T, s *server) {
		s.collections()
		s.create("posts", map[string]any{"title": "before"})
		s.do(http.MethodPost, "/api/backups", map[string]any{"name": "one.zip"}, nil)
		s.create("posts", map[string]any{"title": "after"})

		archive, err := zip.OpenReader(filepath.Join(s.dir, "backups", "one.zip"))
		require.NoError(t, err)
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, archive))
		require.NoError(t, archive.Close())
		requireWhole(t, filepath.Join(dir, "data.db"))

		s.do(http.MethodPost, "/api/backups/one.zip/restore", nil, nil)
		require.Eventually(t, func() bool { // the server begins anew by itself
			_, text, err := s.try(http.MethodGet, "/api/collections/posts/records?filter="+url.QueryEscape("title = 'after'"), nil)
			return err == nil && strings.Contains(string(text), `"totalItems":0`)
		}, time.Minute, 10*time.Millisecond)
		s.waitHealthy()
		total, _ := s.list("/api/collections/posts/records")
		require.Equal(t, 1, total)
		s.create("posts", map[string]any{"title": "afterwards"})
	})
}
