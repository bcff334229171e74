package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// attemptsMax bounds how often a group is run after a conflict. Locks are
	// taken in one order, so that a conflict is an accident and a second a rarity.
	attemptsMax = 5
	attemptWait = 20 * time.Millisecond
	// lockTime and idleTime free the others from a worker that hangs or was
	// stopped while it held locks; statementTime from a server that hangs.
	lockTime      = "10s"
	idleTime      = "15s"
	statementTime = "20s"
)

// Conflicts that are resolved by running again (PostgreSQL, appendix A).
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
)

// postgres is a database that several processes share. Each has one writer: a
// second would only make the groups smaller; more processes are more writers.
type postgres struct {
	name string
	db   *pgxpool.Pool
}

func openPostgres(ctx context.Context, name string) (store, error) {
	config, err := pgxpool.ParseConfig(name)
	if err != nil {
		return nil, errors.New("the name is not a connection string as postgres://USER@HOST/DATABASE") // err repeats the password
	}
	for parameter, value := range map[string]string{"application_name": "walletd", "lock_timeout": lockTime,
		"idle_in_transaction_session_timeout": idleTime, "statement_timeout": statementTime} {
		if config.ConnConfig.RuntimeParams[parameter] == "" {
			config.ConnConfig.RuntimeParams[parameter] = value
		}
	}
	config.MaxConns = 1 + readersMax
	db, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	p := &postgres{name, db}
	if err := p.durable(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// durable refuses a server that answers before the commit is on its disk.
func (p *postgres) durable(ctx context.Context) error {
	for _, setting := range [...]string{"fsync", "synchronous_commit", "full_page_writes"} {
		var value string
		if err := p.db.QueryRow(ctx, `SELECT current_setting($1)`, setting).Scan(&value); err != nil {
			return fmt.Errorf("read the server's %s: %w", setting, err)
		}
		if value == "off" {
			return fmt.Errorf("the server has %s off: a receipt could outlive its posting", setting)
		}
	}
	return nil
}

func (p *postgres) Close() error {
	p.db.Close()
	return nil
}

func (p *postgres) view(ctx context.Context, fn func(*Tx) error) error {
	return p.in(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

func (p *postgres) update(ctx context.Context, keys []string, fn func(*Tx) error) error {
	for attempt := 1; ; attempt++ {
		// Read committed: every statement after the locks sees what their last holders committed.
		err := p.in(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx *Tx) error {
			if err := lock(tx, keys); err != nil {
				return fmt.Errorf("lock: %w", err)
			}
			tx.lock = func(key string) error {
				_, err := tx.changed(`SELECT pg_advisory_xact_lock($1)`, number(key))
				return err
			}
			return fn(tx)
		})
		if err == nil || !conflict(err) || attempt == attemptsMax {
			return err
		}
		select {
		case <-time.After(attemptWait*time.Duration(attempt) + rand.N(attemptWait)):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

func (p *postgres) in(ctx context.Context, o pgx.TxOptions, fn func(*Tx) error) error {
	dbTx, err := p.db.BeginTx(ctx, o)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer dbTx.Rollback(context.WithoutCancel(ctx)) // after a commit this does nothing
	line := &pipeline{tx: dbTx}
	if err := fn(&Tx{ctx: ctx, sql: line}); err != nil {
		return err
	}
	if err := line.flush(ctx); err != nil {
		return err
	}
	if err := dbTx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// lock takes the locks of all keys until the transaction ends, in one order for
// everybody, so that no two wait for each other. Lock 0 is shared by those who
// have keys, and held alone by who wants all.
func lock(tx *Tx, keys []string) error {
	if keys == nil {
		_, err := tx.changed(`SELECT pg_advisory_xact_lock(0)`)
		return err
	}
	numbers := make([]int64, len(keys))
	for i, k := range keys {
		numbers[i] = number(k)
	}
	slices.Sort(numbers)
	_, err := tx.changed(`SELECT pg_advisory_xact_lock_shared(0), (SELECT count(pg_advisory_xact_lock(k)) FROM unnest($1::bigint[]) AS k)`,
		slices.Compact(numbers))
	return err
}

// number is the lock of a key. Two keys with one number only wait for each other.
func number(key string) int64 {
	sum := sha256.Sum256([]byte(key))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

func conflict(err error) bool {
	var p *pgconn.PgError
	return errors.As(err, &p) && (p.Code == serializationFailure || p.Code == deadlockDetected)
}
