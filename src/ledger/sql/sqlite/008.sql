-- The SQLite ledger, version 6: what a new payment costs to write.

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

-- Payments are looked for by their customer only where the destination does not
-- know it.
DROP INDEX payments_by_customer;
CREATE INDEX payments_by_customer ON payments (destination, customer) WHERE state = 'unattributed';

-- The customer key that a file names is nobody's external id.
DROP INDEX clues_by_value;
CREATE INDEX clues_by_value ON clues (value, field) WHERE field <> 'import.customer_key';

-- Two things that hardly a payment is, and that each new one is looked for among.
CREATE INDEX payments_stand_ins ON payments (source, payment_id) WHERE reference = 1;
CREATE INDEX aliases_gateway ON aliases (id) WHERE kind = 'gateway';
