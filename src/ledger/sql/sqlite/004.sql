-- The SQLite ledger, version 4: files that came by the API.

-- A file stays here until it was recorded; what a crash cut off is begun again.
CREATE TABLE imports (
    import   INTEGER PRIMARY KEY,
    source   TEXT NOT NULL,
    spool    TEXT NOT NULL UNIQUE,           -- its name in the folder beside the ledger
    said     TEXT NOT NULL,                  -- JSON: what was said about the file
    who      TEXT NOT NULL,
    said_at  INTEGER NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    ended_at INTEGER,
    came     TEXT,                           -- JSON: what came of it
    outcome  TEXT,                           -- why it failed, for a person
    CHECK ((ended_at IS NOT NULL) = (state IN ('done', 'failed'))),
    CHECK (state <> 'failed' OR outcome IS NOT NULL)
) STRICT;
CREATE INDEX imports_to_do ON imports (import) WHERE ended_at IS NULL;

-- Parts of files whose every row was recorded, by a digest of what they state: the
-- same file again, or the rest of one that was cut off, is known at once.
CREATE TABLE recorded_chunks (
    digest BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
