-- The SQLite ledger, version 2: what the providers' APIs are asked, payments whose
-- amount no webhook says, and what a comparison with the destination saw.

-- One question to a provider's API. A document that says too little raises it,
-- or a payment that cannot go on without it.
CREATE TABLE inquiries (
    inquiry    INTEGER PRIMARY KEY,
    source     INTEGER NOT NULL REFERENCES sources,
    scope      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    id         TEXT NOT NULL,
    payment    INTEGER REFERENCES payments,  -- who waits for it, where one payment does
    delivery   INTEGER REFERENCES deliveries, -- which raised it first, where one did
    raised     INTEGER NOT NULL DEFAULT 1,   -- how often; an answer settles only what it was asked for
    raised_for TEXT NOT NULL DEFAULT '',     -- the position that raised it, where no document did
    raised_at  INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('open', 'answered', 'failed')),
    due_at     INTEGER,
    tries      INTEGER NOT NULL DEFAULT 0,
    last_at    INTEGER,
    outcome    TEXT,                         -- of the last try, for a person
    UNIQUE (source, kind, id, scope),
    CHECK ((state = 'open') = (due_at IS NOT NULL)),
    CHECK (state = 'open' OR outcome IS NOT NULL)
) STRICT;
CREATE INDEX inquiries_due ON inquiries (source, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX inquiries_by_payment ON inquiries (payment) WHERE payment IS NOT NULL;

-- Captures that wait for an amount: a link's, or an answer's.
CREATE TABLE unpriced (
    payment   INTEGER NOT NULL REFERENCES payments,
    link_kind TEXT NOT NULL,
    fact      TEXT NOT NULL,                 -- JSON: the capture with amount 0
    delivery  INTEGER NOT NULL REFERENCES deliveries,
    PRIMARY KEY (payment, link_kind, fact)
) STRICT, WITHOUT ROWID;

-- The payment that took the amount of a link: one order is paid once.
ALTER TABLE links ADD COLUMN priced INTEGER REFERENCES payments;

-- When a comparison with the destination's own list last saw a transaction.
ALTER TABLE transactions ADD COLUMN listed_at INTEGER;
