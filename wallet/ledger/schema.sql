-- Version 1. Only types and clauses that SQLite and PostgreSQL read alike:
-- ids, hashes and keys are hexadecimal text, money is in minor units, times are RFC 3339 in UTC.

CREATE TABLE accounts (
    id            TEXT PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('payer', 'merchant', 'funding')),
    owner         TEXT NOT NULL,
    currency      TEXT NOT NULL,
    balance_minor BIGINT NOT NULL DEFAULT 0,
    blocked       INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE terminals (
    merchant         TEXT NOT NULL,
    terminal         TEXT NOT NULL,
    merchant_name    TEXT NOT NULL,
    scheme_terminal  TEXT NOT NULL,
    key_id           TEXT NOT NULL,
    public_key       TEXT NOT NULL,
    account          TEXT NOT NULL REFERENCES accounts (id),
    PRIMARY KEY (merchant, terminal)
);

CREATE TABLE devices (
    id        TEXT PRIMARY KEY,
    account   TEXT NOT NULL REFERENCES accounts (id),
    kind      INTEGER NOT NULL,
    kvn       INTEGER NOT NULL,
    status    TEXT NOT NULL CHECK (status IN ('active', 'blocked')),
    sign_key  TEXT NOT NULL,
    agree_key TEXT NOT NULL,
    epoch     BIGINT NOT NULL
);

-- One row a payment id, whatever arrives: this primary key is "at most once".
CREATE TABLE payments (
    id             TEXT PRIMARY KEY,
    merchant       TEXT NOT NULL,
    terminal       TEXT NOT NULL,
    order_ref      TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('taken', 'refused', 'reversed', 'tombstone')),
    reason         INTEGER NOT NULL,
    amount_minor   BIGINT NOT NULL CHECK (amount_minor >= 0),
    refunded_minor BIGINT NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0 AND refunded_minor <= amount_minor),
    currency       TEXT NOT NULL,
    business_day   TEXT NOT NULL,
    sequence       BIGINT NOT NULL,
    record_kind    INTEGER NOT NULL,
    record_sha256  TEXT NOT NULL,
    device         TEXT NOT NULL,
    account        TEXT NOT NULL,
    wallet_ref     TEXT NOT NULL,
    receipt        TEXT NOT NULL DEFAULT '',
    updated_at     TEXT NOT NULL
);
CREATE INDEX payments_day ON payments (merchant, terminal, business_day);

CREATE TABLE refunds (
    id           TEXT PRIMARY KEY,
    payment      TEXT NOT NULL REFERENCES payments (id),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    business_day TEXT NOT NULL,
    sequence     BIGINT NOT NULL,
    updated_at   TEXT NOT NULL
);
CREATE INDEX refunds_payment ON refunds (payment);

-- A posting is a set of lines that adds up to zero; its name says what happened to which payment once.
CREATE TABLE movements (
    posting      TEXT NOT NULL,
    line         INTEGER NOT NULL,
    payment      TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('fund', 'take', 'reverse', 'refund')),
    account      TEXT NOT NULL REFERENCES accounts (id),
    currency     TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    posted_at    TEXT NOT NULL,
    PRIMARY KEY (posting, line)
);
CREATE INDEX movements_account ON movements (account);
CREATE INDEX movements_payment ON movements (payment);

-- sequence is null for a message that was refused because its number was taken by other content.
CREATE TABLE messages (
    merchant       TEXT NOT NULL,
    terminal       TEXT NOT NULL,
    id             TEXT NOT NULL,
    sequence       BIGINT,
    content_sha256 TEXT NOT NULL,
    topic          TEXT NOT NULL,
    answer         TEXT NOT NULL,
    handled_at     TEXT NOT NULL,
    PRIMARY KEY (merchant, terminal, id)
);
CREATE UNIQUE INDEX messages_sequence ON messages (merchant, terminal, sequence);

CREATE TABLE marks (
    device   TEXT NOT NULL,
    atc      INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    payment  TEXT NOT NULL,
    PRIMARY KEY (device, atc)
);

CREATE TABLE taps (
    device       TEXT NOT NULL,
    epoch        BIGINT NOT NULL,
    position     INTEGER NOT NULL,
    chain        TEXT NOT NULL,
    link         TEXT NOT NULL,
    evidence     TEXT NOT NULL,
    payment      TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    spent_minor  BIGINT NOT NULL,
    returned     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (device, epoch, position)
);
CREATE INDEX taps_payment ON taps (payment);
