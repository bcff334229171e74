-- Version 3: what a phone and its operator need beside the payments.

-- A reconciliation reads a day in the order of ids, whole or in part.
DROP INDEX payments_day;
CREATE INDEX payments_day ON payments (merchant, terminal, business_day, id);
CREATE INDEX refunds_day ON refunds (business_day);

-- Evidence records, sealed by the wallet (scheme 9.2), by their evidence hash.
CREATE TABLE records (
    evidence TEXT PRIMARY KEY,
    sealed   BYTEA NOT NULL
);

-- Two pieces of evidence that contradict each other (scheme 7.6).
CREATE TABLE proofs (
    second   TEXT PRIMARY KEY,
    first    TEXT NOT NULL,
    device   TEXT NOT NULL REFERENCES devices (id),
    rule     TEXT NOT NULL,
    found_at TEXT NOT NULL
);

-- Changes of the list of blocked devices, in their order.
CREATE TABLE exceptions (
    version BIGINT PRIMARY KEY,
    device  TEXT NOT NULL REFERENCES devices (id),
    blocked INTEGER NOT NULL
);

CREATE TABLE grants (
    device      TEXT NOT NULL REFERENCES devices (id),
    epoch       BIGINT NOT NULL,
    body        TEXT NOT NULL,
    total_minor BIGINT NOT NULL,
    valid_to    TEXT NOT NULL,
    PRIMARY KEY (device, epoch)
);

-- What a phone says of its own taps. Those that no terminal delivers in time are released to the payer.
CREATE TABLE reports (
    device       TEXT NOT NULL REFERENCES devices (id),
    epoch        BIGINT NOT NULL,
    position     INTEGER NOT NULL,
    payment      TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    atc          INTEGER NOT NULL,
    terminal     TEXT NOT NULL,
    chain        TEXT NOT NULL,
    reported_at  TEXT NOT NULL,
    released_at  TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (device, epoch, position)
);
