// Where the rivals with better-sqlite3 keep events: WAL with synchronous=FULL, so that a
// commit has returned from fsync when it is answered; an id that is there is not kept twice.
import Database from "better-sqlite3";

export function open(data) {
  const db = new Database(`${data}/events.db`);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  db.exec(`CREATE TABLE IF NOT EXISTS events (
    id TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, created INTEGER NOT NULL, body BLOB NOT NULL
  )`);
  const insert = db.prepare(
    "INSERT INTO events (id, type, created, body) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
  );
  return { db, insert };
}
