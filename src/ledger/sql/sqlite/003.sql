-- The SQLite ledger, version 3: ledgers that were lost and restored.

-- `deliveries.kept` (JSON: what else of the request its reading needs) is added by
-- the program to the ledgers that do not have it yet.

-- Where a ledger was restored: the last moment in which the lost one may have
-- called this destination, and when the list was begun that was read back in.
ALTER TABLE destinations ADD COLUMN lost_at INTEGER;
ALTER TABLE destinations ADD COLUMN adopted_at INTEGER;
