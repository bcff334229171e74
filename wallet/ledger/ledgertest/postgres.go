// Package ledgertest gives tests a ledger to write into: a SQLite file, and a
// schema of a real PostgreSQL server that the test starts for itself.
//
// The server is Debian's, with its own data in a temporary folder, reached by a
// socket only, and with fsync on. It ends with the test's process, however that
// ends. Where there is none the test skips, under CI it fails.
package ledgertest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the database driver "pgx"
)

const (
	// startTime bounds the start of a server; it takes two seconds on two cores.
	startTime = 30 * time.Second
	// stopTime bounds its end; then it is killed.
	stopTime = 20 * time.Second
)

var errAbsent = errors.New("PostgreSQL is not installed (Debian: postgresql)")

// server is the one of this process: making one takes longer than most tests.
var server struct {
	once sync.Once
	dir  string // holds the socket
	err  error
	stop func()
}

// Main runs a package's tests and stops the server that they started.
func Main(m *testing.M) int {
	code := m.Run()
	if server.stop != nil {
		server.stop()
	}
	return code
}

// Postgres is the name, for ledger.Open, of an empty schema of its own on the
// server. The package needs a TestMain that calls Main.
func Postgres(t testing.TB) string {
	t.Helper()
	server.once.Do(func() { server.dir, server.stop, server.err = start() })
	if errors.Is(server.err, errAbsent) && os.Getenv("CI") != "true" {
		t.Skip(server.err)
	}
	if server.err != nil {
		t.Fatal(server.err)
	}
	schema := "s" + strings.ToLower(rand.Text())
	if err := run(name(""), `CREATE SCHEMA `+schema); err != nil {
		t.Fatal(err)
	}
	return name(schema)
}

// Bytes is what a schema that Postgres gave takes on disk, its indexes included.
func Bytes(t testing.TB, name string) (n int64) {
	t.Helper()
	db, err := sql.Open("pgx", name)
	if err == nil {
		err = db.QueryRow(`SELECT CAST(SUM(pg_total_relation_size(oid)) AS BIGINT) FROM pg_class
			WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`).Scan(&n)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// Each runs a test over every kind of ledger, each time with the name of a new one.
func Each(t *testing.T, test func(t *testing.T, name string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "ledger.db")) })
	t.Run("postgresql", func(t *testing.T) { test(t, Postgres(t)) })
}

func name(schema string) string {
	v := url.Values{"host": {server.dir}, "user": {"postgres"}, "sslmode": {"disable"}}
	if schema != "" {
		v.Set("search_path", schema)
	}
	return "postgres:///postgres?" + v.Encode()
}

func run(name, statement string) error {
	db, err := sql.Open("pgx", name)
	if err != nil {
		return err
	}
	_, err = db.Exec(statement)
	return errors.Join(err, db.Close())
}

// start makes a cluster and runs a server on it.
func start() (dir string, stop func(), err error) {
	bin, err := programs()
	if err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp("", "pg"); err != nil { // not below t.TempDir: a socket's path has 107 bytes at most
		return "", nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	as, err := identity(dir)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	data := filepath.Join(dir, "data")
	// The cluster is made without syncs and synced once; the server runs with them.
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	// The shell waits for the end of its input, which comes with the end of this process.
	serve := exec.Command("/bin/sh", "-c", `exec 3<&0; "$0" "$@" 3<&- & pid=$!; (cat <&3; kill -INT $pid) >/dev/null 2>&1 & wait $pid`,
		filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=on", "-c", "shared_buffers=64MB",
		"-c", "autovacuum_naptime=10s", "-c", "max_connections=100")
	serve.SysProcAttr, serve.Dir = as, dir
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", nil, err
	}
	defer log.Close()
	serve.Stdout, serve.Stderr = log, log // a file: nobody has to read it
	input, err := serve.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	if err := serve.Start(); err != nil {
		return "", nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	stop = func() { end(serve, input, dir) }
	for err = errors.New("not tried"); err != nil; {
		server.dir = dir
		if err = run(name(""), `SELECT 1`); err != nil && ctx.Err() != nil {
			said, _ := os.ReadFile(log.Name())
			stop()
			return "", nil, fmt.Errorf("PostgreSQL does not answer: %w: %s", err, said)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return dir, stop, nil
}

func end(serve *exec.Cmd, input io.Closer, dir string) {
	input.Close()
	killer := time.AfterFunc(stopTime, func() { serve.Process.Kill() })
	defer killer.Stop()
	serve.Wait()
	os.RemoveAll(dir)
}

// programs finds the folder of initdb and postgres; Debian keeps them out of PATH.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errAbsent
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// identity is as whom the server runs: it refuses to be root. The folder becomes theirs.
func identity(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
			return nil, err
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}
