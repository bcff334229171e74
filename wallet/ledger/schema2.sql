-- Version 2: anchors of terminals' journals, and attempts that nobody has the answer of.

-- The furthest point of a terminal's journal that it has told and could prove: an older copy that was restored shows.
CREATE TABLE heads (
    merchant TEXT NOT NULL,
    terminal TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    hash     TEXT NOT NULL,
    PRIMARY KEY (merchant, terminal)
);

-- Attempts whose answer no terminal has obtained (scheme 8.6): by payment and unpredictable number.
CREATE TABLE abandoned (
    payment TEXT NOT NULL,
    number  TEXT NOT NULL,
    PRIMARY KEY (payment, number)
);
