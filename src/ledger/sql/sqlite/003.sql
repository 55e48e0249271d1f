-- The SQLite ledger, version 3: when a comparison with the destination's own
-- list last saw a transaction.
ALTER TABLE transactions ADD COLUMN listed_at INTEGER;
