-- The PostgreSQL ledger, version 2: payments by the values that are known of them,
-- comparisons that are told apart, and bodies that are packed.

-- Those of new payments are put in many together, in the order of the values, and in any
-- case before anybody is asked for by one; `meta` says up to which payment all are in
-- (`values_until`). A value that a payment had before stays here; what counts is in
-- `clues`.
CREATE TABLE clue_values (
    value   TEXT COLLATE "C" NOT NULL,
    field   TEXT COLLATE "C" NOT NULL,
    payment BIGINT NOT NULL,
    PRIMARY KEY (value, field, payment)
);
INSERT INTO clue_values (value, field, payment)
    SELECT value, field, payment FROM clues
    WHERE field <> 'import.customer_key' ORDER BY value, field, payment;
DROP INDEX clues_by_value;
INSERT INTO meta (name, value)
    SELECT 'values_until', CAST(payment AS TEXT) FROM payments ORDER BY payments.payment DESC LIMIT 1;

-- When the last comparison with the destination's own list began: no other begins in the
-- same millisecond.
ALTER TABLE destinations ADD COLUMN compared_at BIGINT;

-- What bodies are packed with, by zstd. The program puts its own in; one never changes.
CREATE TABLE dictionaries (
    dictionary BIGINT PRIMARY KEY,
    bytes      BYTEA NOT NULL
);
-- With which one a body is packed; NULL: it is as it came.
ALTER TABLE deliveries ADD COLUMN packed BIGINT;
