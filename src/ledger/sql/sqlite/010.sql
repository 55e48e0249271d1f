-- The SQLite ledger, version 10: what stands at a destination since before this ledger was
-- restored and was told of by nobody yet, by the customer under whom it stands. There is
-- none in a ledger that was never lost.
CREATE INDEX payments_read_back ON payments (destination, customer)
    WHERE frozen = 1 AND gross IS NULL;
