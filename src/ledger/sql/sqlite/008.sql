-- The SQLite ledger, version 8: ledgers that move.

-- The row that every transaction which writes looks at, as in PostgreSQL: empty, or
-- why nothing may be written any more (JSON), because the ledger is being moved, was
-- moved, or is a copy that is not finished. An older program would not look at it and
-- forward what the other one forwards; so it must refuse the file.
INSERT INTO meta (name, value) VALUES ('writer', '') ON CONFLICT (name) DO NOTHING;
