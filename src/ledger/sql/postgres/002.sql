-- The PostgreSQL ledger, version 2: payments by the values that are known of them, and
-- comparisons that are told apart.

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
    SELECT 'values_until', CAST(payment AS TEXT) FROM payments ORDER BY payment DESC LIMIT 1;

-- When the last comparison with the destination's own list began: no other begins in the
-- same millisecond.
ALTER TABLE destinations ADD COLUMN compared_at BIGINT;
