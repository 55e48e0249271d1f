-- The SQLite ledger, version 5: what reports read. The days are those of the
-- ledger's zone (`meta`: report_zone); 20260601 is the first of June 2026.

-- What this payment brought into the tables below, and under whom (JSON): what
-- is put in for it later first takes exactly this out. NULL where it counts for
-- nothing.
ALTER TABLE payments ADD COLUMN booked TEXT;

-- The money of a day. A sale stands on the day of its capture, a reversal on its
-- own; what of the day's sales went back, on whatever day, stands in of_sales_*.
CREATE TABLE days (
    day                INTEGER NOT NULL,
    source             INTEGER NOT NULL REFERENCES sources,
    destination        TEXT NOT NULL,
    currency           TEXT NOT NULL,
    attributed         INTEGER NOT NULL CHECK (attributed IN (0, 1)),
    ignored            INTEGER NOT NULL CHECK (ignored IN (0, 1)),
    gross              INTEGER NOT NULL,
    payments           INTEGER NOT NULL,
    reversed           INTEGER NOT NULL,   -- below zero where more came again than went back
    reversals          INTEGER NOT NULL,
    of_sales_reversed  INTEGER NOT NULL,
    of_sales_reversals INTEGER NOT NULL,
    PRIMARY KEY (day, source, destination, currency, attributed, ignored),
    CHECK (gross >= 0 AND payments >= 0 AND reversals >= 0 AND of_sales_reversals >= 0),
    CHECK (of_sales_reversed BETWEEN 0 AND gross)
) STRICT, WITHOUT ROWID;

-- The same of each customer: of all that is attributed.
CREATE TABLE customer_days (
    day                INTEGER NOT NULL,
    destination        TEXT NOT NULL,
    customer           TEXT NOT NULL,
    customer_by        TEXT NOT NULL,
    currency           TEXT NOT NULL,
    source             INTEGER NOT NULL REFERENCES sources,
    ignored            INTEGER NOT NULL CHECK (ignored IN (0, 1)),
    gross              INTEGER NOT NULL,
    payments           INTEGER NOT NULL,
    reversed           INTEGER NOT NULL,
    reversals          INTEGER NOT NULL,
    of_sales_reversed  INTEGER NOT NULL,
    of_sales_reversals INTEGER NOT NULL,
    PRIMARY KEY (day, destination, customer, customer_by, currency, source, ignored),
    CHECK (gross >= 0 AND payments >= 0 AND reversals >= 0 AND of_sales_reversals >= 0),
    CHECK (of_sales_reversed BETWEEN 0 AND gross)
) STRICT, WITHOUT ROWID;

-- The partner who brought a customer, once the destination was asked. Reports are
-- by the partner as known now.
ALTER TABLE customers ADD COLUMN partner TEXT;
