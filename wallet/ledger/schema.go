package ledger

import (
	_ "embed"
	"fmt"
)

//go:embed schema.sql
var schema string

//go:embed schema2.sql
var schema2 string

//go:embed schema3.sql
var schema3 string

// schemaVersion rises with every change of the tables; migrations holds the way there.
const schemaVersion = 3

// migrations[n] leads from version n to n+1.
var migrations = [schemaVersion]string{schema, schema2, schema3}

// migrate brings the tables to schemaVersion. Two processes that open a new
// file at once are put in order by the write lock.
func migrate(tx *Tx) error {
	if _, err := tx.changed(`CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)`); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	var version, rows int
	if err := tx.row([]any{&version, &rows}, `SELECT COALESCE(MAX(version), 0), COUNT(*) FROM schema_version`); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if version > schemaVersion || rows > 1 {
		return fmt.Errorf("the ledger's schema has version %d, this program knows %d", version, schemaVersion)
	}
	for ; version < schemaVersion; version++ {
		if _, err := tx.changed(migrations[version]); err != nil {
			return fmt.Errorf("make schema version %d: %w", version+1, err)
		}
	}
	if rows == 0 {
		return tx.exec(ErrNone, `INSERT INTO schema_version (version) VALUES ($1)`, version)
	}
	return tx.exec(ErrNone, `UPDATE schema_version SET version = $1`, version)
}
