-- The SQLite ledger, version 7: what customers brought on days that are over, in a
-- form that is read at once. Both tables are derived and filled by and by, so that
-- an old ledger opens as fast as a new one.

-- A short number for each customer of `customer_days`, for good, and the partner who
-- brought it, as `customers` has it.
CREATE TABLE customer_numbers (
    number      INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    customer    TEXT NOT NULL,
    partner     TEXT,
    UNIQUE (destination, customer)
) STRICT;

-- All rows of `customer_days` of a day. Whoever changes one of them deletes this in
-- the same transaction.
CREATE TABLE customer_segments (
    day      INTEGER PRIMARY KEY,
    form     INTEGER NOT NULL,               -- 0: it is being made
    checksum INTEGER NOT NULL,               -- CRC-32 of the bytes
    bytes    BLOB NOT NULL
) STRICT;
