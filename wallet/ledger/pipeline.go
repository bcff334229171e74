package ledger

import (
	"context"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"
)

// pipeline runs the statements of a transaction on PostgreSQL in as few journeys
// as it can: what nobody waits for goes along with the next, and what will be
// asked for is asked for together.
type pipeline struct {
	tx      pgx.Tx
	waiting []late
	known   map[string]found // read ahead, each for one use
}

// late is a statement that nobody waits for.
type late struct {
	query
	rows      int64
	otherwise error
}

// anyRows is for a statement that may change something or nothing.
const anyRows = -1

// found is a query that was answered ahead.
type found struct {
	args []any
	rows []values
}

func (p *pipeline) later(text string, args []any, rows int64, otherwise error) {
	p.waiting = append(p.waiting, late{query{text, args}, rows, otherwise})
}

// send makes one journey: all that waits, then the queries, whose rows go to take.
func (p *pipeline) send(ctx context.Context, queries []query, take func(n int, rows pgx.Rows) error) (err error) {
	batch := &pgx.Batch{}
	waiting := p.waiting
	p.waiting = nil
	for _, w := range waiting {
		batch.Queue(w.text, w.args...)
	}
	for _, q := range queries {
		batch.Queue(q.text, q.args...)
	}
	results := p.tx.SendBatch(ctx, batch)
	defer func() {
		if closed := results.Close(); err == nil {
			err = closed
		}
	}()
	for _, w := range waiting {
		tag, err := results.Exec()
		if err != nil {
			return err
		}
		if w.rows != anyRows && tag.RowsAffected() != w.rows {
			return w.otherwise
		}
	}
	for n := range queries {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		err = take(n, rows)
		rows.Close()
		if err == nil {
			err = rows.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pipeline) forget() { p.known = nil }

func (p *pipeline) flush(ctx context.Context) error {
	if len(p.waiting) == 0 {
		return nil
	}
	return p.send(ctx, nil, nil)
}

func (p *pipeline) exec(ctx context.Context, text string, args []any) (int64, error) {
	if len(args) == 0 { // perhaps a script, which knows no pipeline
		if err := p.flush(ctx); err != nil {
			return 0, err
		}
		tag, err := p.tx.Exec(ctx, text)
		return tag.RowsAffected(), err
	}
	var changed int64
	err := p.send(ctx, []query{{text, args}}, func(_ int, rows pgx.Rows) error {
		rows.Close()
		changed = rows.CommandTag().RowsAffected()
		return nil
	})
	return changed, err
}

func (p *pipeline) ahead(ctx context.Context, queries []query) error {
	p.known = map[string]found{}
	return p.send(ctx, queries, func(n int, rows pgx.Rows) error {
		f := found{args: queries[n].args}
		for rows.Next() {
			v, err := rows.Values()
			if err != nil {
				return err
			}
			f.rows = append(f.rows, v)
		}
		p.known[queries[n].text] = f
		return nil
	})
}

func (p *pipeline) rows(ctx context.Context, scan func(row) error, text string, args []any) error {
	if f, ok := p.known[text]; ok {
		delete(p.known, text)
		if reflect.DeepEqual(f.args, args) {
			for _, v := range f.rows {
				if err := scan(v); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return p.send(ctx, []query{{text, args}}, func(_ int, rows pgx.Rows) error {
		for rows.Next() {
			v, err := rows.Values()
			if err != nil {
				return err
			}
			if err := scan(values(v)); err != nil {
				return err
			}
		}
		return nil
	})
}

// values is a row that was read.
type values []any

// Scan fills what the columns fit into: numbers, text, bytes, and truth kept as a number.
func (v values) Scan(dest ...any) error {
	if len(dest) != len(v) {
		return fmt.Errorf("read ledger: %d columns where %d belong", len(v), len(dest))
	}
	for i, d := range dest {
		if known(d, v[i]) {
			continue
		}
		if err := assign(reflect.ValueOf(d).Elem(), reflect.ValueOf(v[i])); err != nil {
			return fmt.Errorf("read ledger: column %d: %w", i+1, err)
		}
	}
	return nil
}

// known fills what most columns are; the rest is for assign.
func known(to, from any) bool {
	switch to := to.(type) {
	case *string:
		if text, ok := from.(string); ok {
			*to = text
			return true
		}
	case *int64:
		if n, ok := from.(int64); ok {
			*to = n
			return true
		}
	}
	return false
}

func assign(to, from reflect.Value) error {
	switch {
	case !from.IsValid():
		return fmt.Errorf("nothing where %s belongs", to.Type())
	case to.Kind() == reflect.String && from.Kind() == reflect.String:
		to.SetString(from.String())
	case to.Kind() == reflect.Bool && from.CanInt():
		to.SetBool(from.Int() != 0)
	case to.CanInt() && from.CanInt() && !to.OverflowInt(from.Int()):
		to.SetInt(from.Int())
	case to.CanUint() && from.CanInt() && from.Int() >= 0 && !to.OverflowUint(uint64(from.Int())):
		to.SetUint(uint64(from.Int()))
	case to.Kind() == reflect.Slice && from.Type() == to.Type():
		to.Set(from)
	default:
		return fmt.Errorf("%s does not fit into %s", from.Type(), to.Type())
	}
	return nil
}
