-- The SQLite ledger, version 1. Times are milliseconds since 1970 UTC, amounts
-- minor units. Money is never a REAL: every table is STRICT.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A source that has payments may not vanish from the configuration unsaid.
CREATE TABLE sources (
    source   INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    -- Which event is the payment, and since when it is that one.
    switch_word  TEXT NOT NULL DEFAULT '',
    switch_since INTEGER,
    first_seen    INTEGER NOT NULL,
    last_delivery INTEGER
) STRICT;

-- What they told us: one row per request that verified, never deleted by success.
CREATE TABLE deliveries (
    delivery     INTEGER PRIMARY KEY,
    source       INTEGER NOT NULL REFERENCES sources,
    delivery_id  TEXT NOT NULL,
    statement    BLOB NOT NULL,              -- digest of what it states
    body         BLOB,                       -- NULL once pruned
    body_digest  BLOB NOT NULL,
    received_at  INTEGER NOT NULL,
    event        TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('recorded', 'ignored', 'unreadable')),
    reason       TEXT CHECK (status = 'recorded' OR reason IS NOT NULL),
    secret       INTEGER NOT NULL,           -- which configured secret matched
    differs      INTEGER NOT NULL DEFAULT 0, -- 1: its id came before with other bytes
    resends      INTEGER NOT NULL DEFAULT 0,
    last_resend  INTEGER,
    UNIQUE (source, delivery_id, statement)
) STRICT;

CREATE TABLE payments (
    payment       INTEGER PRIMARY KEY,
    source        INTEGER NOT NULL REFERENCES sources,
    payment_id    TEXT NOT NULL,
    -- A stand-in for reversals whose payment is not known by these ids.
    reference     INTEGER NOT NULL DEFAULT 0 CHECK (reference IN (0, 1)),
    scope         TEXT NOT NULL,
    live          INTEGER CHECK (live IN (0, 1)),
    destination   TEXT NOT NULL,
    customer      TEXT,
    customer_by   TEXT CHECK (customer_by IN ('key', 'email')),
    frozen        INTEGER NOT NULL DEFAULT 0 CHECK (frozen IN (0, 1)),
    currency      TEXT,
    gross         INTEGER,
    reversed      INTEGER,
    forwarded     INTEGER NOT NULL DEFAULT 0,
    occurred_at   INTEGER NOT NULL,
    first_seen    INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN
        ('waiting', 'unattributed', 'due', 'settled', 'failed', 'held', 'ignored')),
    reason        TEXT,
    tried         TEXT,                       -- JSON: each lookup rule and what it came to
    lane          INTEGER NOT NULL DEFAULT 0 CHECK (lane IN (0, 1)),   -- 0 live, 1 backfill
    -- Whose turn it is: 0 nobody's, 1 a call, 2 a read-back.
    turn          INTEGER NOT NULL DEFAULT 0 CHECK (turn IN (0, 1, 2)),
    due_at        INTEGER,
    due_since     INTEGER,                    -- when it became somebody's turn
    claim         INTEGER,
    tries         INTEGER NOT NULL DEFAULT 0, -- calls in a row that did not settle
    patience_used INTEGER NOT NULL DEFAULT 0, -- ms that count towards retry_for
    last_try_at   INTEGER,
    failed_step   TEXT,
    failed_why    TEXT,
    UNIQUE (source, payment_id),
    -- The invariants once more, for a program that breaks them.
    CHECK ((gross IS NULL) = (currency IS NULL) AND (gross IS NULL) = (reversed IS NULL)),
    CHECK (gross IS NULL OR (gross >= 0 AND reversed BETWEEN 0 AND gross)),
    CHECK ((turn = 0) = (due_at IS NULL) AND (turn = 0) = (due_since IS NULL)),
    CHECK (state <> 'due' OR turn > 0),
    CHECK (state IN ('settled', 'due') OR reason IS NOT NULL),
    CHECK ((customer IS NULL) = (customer_by IS NULL)),
    CHECK (claim IS NULL OR turn > 0)
) STRICT;

-- What is next to do: a seek at any backlog.
CREATE INDEX payments_due ON payments (destination, turn, lane, due_at) WHERE turn > 0;
CREATE INDEX payments_oldest_due ON payments (destination, due_since) WHERE turn > 0;
CREATE INDEX payments_claimed ON payments (claim) WHERE claim IS NOT NULL;
CREATE INDEX payments_by_state ON payments (state, payment);
CREATE INDEX payments_by_customer ON payments (destination, customer, state) WHERE customer IS NOT NULL;

-- Facts are stored per delivery and never merged away.
CREATE TABLE facts (
    fact      INTEGER PRIMARY KEY,
    payment   INTEGER NOT NULL REFERENCES payments,
    delivery  INTEGER REFERENCES deliveries,
    said_by   TEXT,                          -- a person or a program, where no delivery said it
    said_at   INTEGER NOT NULL,
    class     TEXT NOT NULL,
    fact_id   TEXT NOT NULL,
    basis     TEXT NOT NULL CHECK (basis IN ('each', 'total')),
    rank      INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    authority TEXT NOT NULL CHECK (authority IN ('csv', 'webhook', 'api')),
    amount    INTEGER NOT NULL CHECK (amount >= 0),
    currency  TEXT NOT NULL,
    at        INTEGER NOT NULL,
    partial_capture INTEGER NOT NULL DEFAULT 0,
    product_key  TEXT,
    category_key TEXT,
    -- The ids that a reversal names instead of a payment, resolved again at each change.
    ref_kind  TEXT,
    ref_id    TEXT,
    CHECK (delivery IS NOT NULL OR said_by IS NOT NULL),
    CHECK ((ref_kind IS NULL) = (ref_id IS NULL))
) STRICT;
CREATE INDEX facts_by_payment ON facts (payment);
CREATE INDEX facts_by_delivery ON facts (delivery) WHERE delivery IS NOT NULL;
CREATE INDEX facts_by_reference ON facts (ref_id, ref_kind) WHERE ref_id IS NOT NULL;

-- Values of a payment that lookup rules may use.
CREATE TABLE clues (
    payment INTEGER NOT NULL REFERENCES payments,
    field   TEXT NOT NULL,
    value   TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (payment, field)
) STRICT, WITHOUT ROWID;
-- Who waits for a link: only fields that are external ids are looked up by value.
CREATE INDEX clues_by_value ON clues (value, field);

-- Other provider-side ids of a payment.
CREATE TABLE aliases (
    provider TEXT NOT NULL,
    scope    TEXT NOT NULL,
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    payment  INTEGER NOT NULL REFERENCES payments,
    money    INTEGER NOT NULL CHECK (money IN (0, 1)),
    PRIMARY KEY (id, kind, provider, scope, payment)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_payment ON aliases (payment);

-- Which customer an external id belongs to. scope '' is the word of a person or
-- of the links API, and beats a feed's.
CREATE TABLE links (
    source       INTEGER NOT NULL REFERENCES sources,
    kind         TEXT NOT NULL,
    external_id  TEXT NOT NULL,
    scope        TEXT NOT NULL,
    customer     TEXT,                       -- NULL: unlinked by a person
    version      INTEGER NOT NULL,
    amount       INTEGER,
    currency     TEXT,
    said_by      TEXT NOT NULL,
    said_at      INTEGER NOT NULL,
    PRIMARY KEY (external_id, kind, source, scope)
) STRICT, WITHOUT ROWID;

-- What people decided: who, why, and the position it was made for.
CREATE TABLE decisions (
    decision INTEGER PRIMARY KEY,
    payment  INTEGER NOT NULL REFERENCES payments,
    kind     TEXT NOT NULL,
    detail   TEXT NOT NULL,
    who      TEXT NOT NULL,
    why      TEXT NOT NULL,
    at       INTEGER NOT NULL,
    made_for TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_by_payment ON decisions (payment);
CREATE INDEX decisions_to_attach ON decisions (detail) WHERE kind = 'attach';

-- What the destination believes.
CREATE TABLE transactions (
    payment     INTEGER NOT NULL REFERENCES payments,
    seq         INTEGER NOT NULL CHECK (seq >= 1),
    destination TEXT NOT NULL,
    key         TEXT NOT NULL,
    customer    TEXT NOT NULL,
    customer_by TEXT NOT NULL,
    currency    TEXT NOT NULL,
    amount      INTEGER NOT NULL CHECK (amount <> 0),
    created_at  INTEGER NOT NULL,            -- the time we sent for it
    reversal_of TEXT,
    state       TEXT NOT NULL CHECK (state IN ('absent', 'post_unknown', 'delete_unknown',
        'live', 'gone', 'missing', 'suspect')),
    undeletable INTEGER NOT NULL DEFAULT 0,
    delete_was_unknown INTEGER NOT NULL DEFAULT 0,
    seen_amount INTEGER,                     -- what the destination holds, where it differs
    note        TEXT,
    PRIMARY KEY (payment, seq),
    UNIQUE (destination, key)
) STRICT;

-- What we did: one row per call, on disk before the call.
CREATE TABLE attempts (
    attempt   INTEGER PRIMARY KEY,
    payment   INTEGER NOT NULL REFERENCES payments,
    seq       INTEGER NOT NULL,
    call      TEXT NOT NULL CHECK (call IN ('post', 'delete', 'confirm')),
    amount    INTEGER NOT NULL,
    begun_at  INTEGER NOT NULL,
    deadline  INTEGER NOT NULL,              -- after it the call may not be sent
    ended_at  INTEGER,
    outcome   TEXT,
    detail    TEXT,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
) STRICT;
CREATE INDEX attempts_by_payment ON attempts (payment);

-- What we know of the destination's customers: who is unknown there and when to
-- ask again, and the provider's id to bind.
CREATE TABLE customers (
    destination   TEXT NOT NULL,
    customer      TEXT NOT NULL,
    customer_by   TEXT NOT NULL,
    unknown_since INTEGER,
    probes        INTEGER NOT NULL DEFAULT 0,
    next_probe_at INTEGER,
    bind          TEXT,                      -- provider's id to write there
    bind_state    TEXT CHECK (bind_state IN ('due', 'done', 'kept', 'refused')),
    bind_at       INTEGER,
    PRIMARY KEY (destination, customer, customer_by)
) STRICT, WITHOUT ROWID;
CREATE INDEX customers_probe ON customers (destination, next_probe_at) WHERE next_probe_at IS NOT NULL;
CREATE INDEX customers_bind ON customers (destination, bind_at) WHERE bind_state = 'due';

-- What a destination asked of us; survives a restart.
CREATE TABLE destinations (
    name         TEXT PRIMARY KEY,
    paused_until INTEGER NOT NULL DEFAULT 0,
    answered_at  INTEGER NOT NULL DEFAULT 0, -- it last answered a call of ours
    status       TEXT
) STRICT, WITHOUT ROWID;
