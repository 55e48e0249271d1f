-- The SQLite ledger, version 6: customers, partners and rewards as the destination
-- lists them, which is a mirror: what is lost of it is read again; and the indexes
-- of lists.

-- How far each list was read. A read is under way while `began_at` is set.
CREATE TABLE mirror_reads (
    destination TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('customers', 'rewards', 'partners')),
    began_at    INTEGER,                     -- of the read under way
    since       INTEGER,                     -- what it asks from; NULL: all there is
    after       TEXT,                        -- the key behind which its next page begins
    sweeping    INTEGER NOT NULL DEFAULT 0 CHECK (sweeping IN (0, 1)),
    emails      INTEGER NOT NULL DEFAULT 0 CHECK (emails IN (0, 1)), -- whether it keeps addresses
    wanted      INTEGER NOT NULL DEFAULT 0 CHECK (wanted IN (0, 1)), -- somebody unknown was named
    read_at     INTEGER,                     -- when the last read began that came to its end
    full_at     INTEGER,                     -- the same of the last one of all there is
    PRIMARY KEY (destination, kind),
    CHECK (began_at IS NOT NULL OR (since IS NULL AND after IS NULL AND sweeping = 0))
) STRICT, WITHOUT ROWID;

CREATE TABLE mirrored_customers (
    destination  TEXT NOT NULL,
    key          TEXT NOT NULL,              -- the destination's own
    customer     TEXT,                       -- the merchant's own, under which is posted
    partner      TEXT,
    partnership  TEXT,
    provider_key TEXT,
    email        TEXT,                       -- in small letters, and only where it resolves
    name         TEXT,
    test         INTEGER NOT NULL CHECK (test IN (0, 1)),
    updated_at   INTEGER,                    -- by the destination's clock
    listed_at    INTEGER NOT NULL,           -- when the read began that showed it last
    gone         INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)),
    PRIMARY KEY (destination, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX mirrored_by_provider_key ON mirrored_customers (provider_key, destination)
    WHERE provider_key IS NOT NULL;
CREATE INDEX mirrored_by_email ON mirrored_customers (email, destination) WHERE email IS NOT NULL;
CREATE INDEX mirrored_by_customer ON mirrored_customers (customer, destination)
    WHERE customer IS NOT NULL;
CREATE INDEX mirrored_unlisted ON mirrored_customers (destination, listed_at) WHERE gone = 0;

CREATE TABLE partners (
    destination TEXT NOT NULL,
    key         TEXT NOT NULL,               -- the partnership's
    partner     TEXT,                        -- the partner's own, which customers name
    name        TEXT,
    listed_at   INTEGER NOT NULL,
    gone        INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)),
    PRIMARY KEY (destination, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX partners_by_partner ON partners (partner, destination) WHERE partner IS NOT NULL;
CREATE INDEX partners_unlisted ON partners (destination, listed_at) WHERE gone = 0;

-- Empty texts stand for what a reward does not name, because the roll-up has them
-- in its key.
CREATE TABLE rewards (
    destination TEXT NOT NULL,
    key         TEXT NOT NULL,
    customer    TEXT NOT NULL,               -- the destination's own key of it
    partner     TEXT NOT NULL,
    partnership TEXT NOT NULL,
    transaction_key TEXT NOT NULL,
    source      TEXT NOT NULL,               -- of the payment, where the transaction is ours
    currency    TEXT,                        -- NULL: nobody says it, and it counts for nothing
    amount      INTEGER NOT NULL,
    status      TEXT,
    archived    INTEGER NOT NULL CHECK (archived IN (0, 1)),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    listed_at   INTEGER NOT NULL,
    gone        INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)),
    counts      INTEGER NOT NULL CHECK (counts IN (0, 1)), -- whether it stands in the roll-up
    PRIMARY KEY (destination, key),
    CHECK (counts = 0 OR (currency IS NOT NULL AND gone = 0))
) STRICT, WITHOUT ROWID;
CREATE INDEX rewards_unlisted ON rewards (destination, listed_at) WHERE gone = 0;
CREATE INDEX rewards_without_currency ON rewards (destination) WHERE currency IS NULL;

-- What the rewards of a day come to: of all that count, and of nothing else.
CREATE TABLE commission_days (
    day         INTEGER NOT NULL,
    destination TEXT NOT NULL,
    source      TEXT NOT NULL,
    currency    TEXT NOT NULL,
    amount      INTEGER NOT NULL,            -- below zero where corrections prevail
    rewards     INTEGER NOT NULL CHECK (rewards >= 0),
    PRIMARY KEY (day, destination, source, currency)
) STRICT, WITHOUT ROWID;

-- The same by customer and partner.
CREATE TABLE customer_commission_days (
    day         INTEGER NOT NULL,
    destination TEXT NOT NULL,
    customer    TEXT NOT NULL,
    partner     TEXT NOT NULL,
    partnership TEXT NOT NULL,
    currency    TEXT NOT NULL,
    amount      INTEGER NOT NULL,
    rewards     INTEGER NOT NULL CHECK (rewards >= 0),
    PRIMARY KEY (day, destination, customer, partner, partnership, currency)
) STRICT, WITHOUT ROWID;

-- Indexes that lists of people are read by, in the order in which the money moved.
-- Two take the place of older ones, so that recording a payment writes no more of
-- them than before.

DROP INDEX payments_by_state;
CREATE INDEX payments_by_source ON payments (source, state, occurred_at);

DROP INDEX payments_by_customer;
CREATE INDEX payments_by_customer ON payments (destination, customer, state, occurred_at)
    WHERE customer IS NOT NULL;

-- The links of one source, in the order of their ids.
CREATE INDEX links_by_source ON links (source, external_id, kind, scope);

-- What a new payment costs to write.
--
-- SQLite fills a table of its own with the words of `x IN (three or more)` each
-- time that it checks a row, which costs more than writing the row. The same words
-- with OR cost nothing. What is stored does not change, so the text of the checks is
-- replaced where it stands, which SQLite documents for checks; a text that is not
-- found stays as it is.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'CHECK (state IN
        (''waiting'', ''unattributed'', ''due'', ''settled'', ''failed'', ''held'', ''ignored''))',
    'CHECK (state = ''due'' OR state = ''settled'' OR state = ''unattributed'' OR state = ''waiting''
        OR state = ''ignored'' OR state = ''held'' OR state = ''failed'')'),
    'CHECK (turn IN (0, 1, 2))',
    'CHECK (turn BETWEEN 0 AND 2)')
WHERE type = 'table' AND name = 'payments';
UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (authority IN (''csv'', ''webhook'', ''api''))',
    'CHECK (authority = ''webhook'' OR authority = ''csv'' OR authority = ''api'')')
WHERE type = 'table' AND name = 'facts';
UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (status IN (''recorded'', ''ignored'', ''unreadable''))',
    'CHECK (status = ''recorded'' OR status = ''ignored'' OR status = ''unreadable'')')
WHERE type = 'table' AND name = 'deliveries';
UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (call IN (''post'', ''delete'', ''confirm''))',
    'CHECK (call = ''post'' OR call = ''delete'' OR call = ''confirm'')')
WHERE type = 'table' AND name = 'attempts';
PRAGMA writable_schema = RESET;

-- The customer key that a file names is nobody's external id.
DROP INDEX clues_by_value;
CREATE INDEX clues_by_value ON clues (value, field) WHERE field <> 'import.customer_key';

-- Two things that hardly a payment is, and that each new one is looked for among.
CREATE INDEX payments_stand_ins ON payments (source, payment_id) WHERE reference = 1;
CREATE INDEX aliases_gateway ON aliases (id) WHERE kind = 'gateway';
