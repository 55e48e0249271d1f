-- The SQLite ledger, version 7: indexes that lists of people are read by, in the
-- order in which the money moved. Two take the place of older ones, so that
-- recording a payment writes no more of them than before.

DROP INDEX payments_by_state;
CREATE INDEX payments_by_source ON payments (source, state, occurred_at);

DROP INDEX payments_by_customer;
CREATE INDEX payments_by_customer ON payments (destination, customer, state, occurred_at)
    WHERE customer IS NOT NULL;

-- The links of one source, in the order of their ids.
CREATE INDEX links_by_source ON links (source, external_id, kind, scope);
