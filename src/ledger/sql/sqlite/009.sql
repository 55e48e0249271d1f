-- The SQLite ledger, version 9: payments by the values that are known of them,
-- comparisons that are told apart, and bodies that are packed.

-- Values come in no order, and one that is put into its place by itself changes a page
-- that no other changes. So those of new payments are put in many together, in the order
-- of the values, and in any case before anybody is asked for by one; `meta` says up to
-- which payment all are in (`values_until`). A value that a payment had before stays
-- here; what counts is in `clues`.
CREATE TABLE clue_values (
    value   TEXT NOT NULL,
    field   TEXT NOT NULL,
    payment INTEGER NOT NULL,
    PRIMARY KEY (value, field, payment)
) STRICT, WITHOUT ROWID;
INSERT INTO clue_values (value, field, payment)
    SELECT value, field, payment FROM clues INDEXED BY clues_by_value
    WHERE field <> 'import.customer_key' ORDER BY value, field, payment;
DROP INDEX clues_by_value;
INSERT INTO meta (name, value)
    SELECT 'values_until', CAST(payment AS TEXT) FROM payments ORDER BY payments.payment DESC LIMIT 1;

-- When the last comparison with the destination's own list began: no other begins in the
-- same millisecond.
ALTER TABLE destinations ADD COLUMN compared_at INTEGER;

-- What bodies are packed with, by zstd. The program puts its own in; one never changes.
CREATE TABLE dictionaries (
    dictionary INTEGER PRIMARY KEY,
    bytes      BLOB NOT NULL
) STRICT;
-- With which one a body is packed; NULL: it is as it came.
ALTER TABLE deliveries ADD COLUMN packed INTEGER;
