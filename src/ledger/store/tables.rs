//! All tables of a ledger, row by row in the order of their keys, whatever stands in
//! them: what is copied and what the digest of the books is of.
//!
//! Columns are asked of the store, so that a new one is never forgotten; a new table
//! has to be named here, and a test misses it. No verb reads through this.

use sha2::{Digest, Sha256};

use super::LedgerError;
use super::presence::is_presence;
use super::tx::{Conn, Tx};
use crate::ledger::packing::DICTIONARIES;
use crate::ledger::sql::{Owned, Row, Value, unexpected};

/// Rows that a page of a table holds; a server hands out whole pages.
const PAGE_ROWS: usize = 500;
/// The same where a row may be as large as a webhook, 2 MiB.
const PAGE_LARGE_ROWS: usize = 16;

/// Names in `meta` that belong to a store and not to its books.
const OF_THE_STORE: [&str; 5] = ["ledger", "version", "writer", "probed_at", MOVED_HERE];

/// Stands in a ledger that was moved here: which copy that was.
pub(super) const MOVED_HERE: &str = "moved_here";

/// One table.
pub(super) struct Table {
    pub name: &'static str,
    /// Its primary key.
    pub key: &'static [&'static str],
    /// Whether the store itself counts the key on, as row numbers.
    pub counted: bool,
    page: usize,
}

const fn keyed(name: &'static str, key: &'static [&'static str]) -> Table {
    Table {
        name,
        key,
        counted: false,
        page: PAGE_ROWS,
    }
}

const fn counted(name: &'static str, key: &'static [&'static str]) -> Table {
    Table {
        counted: true,
        ..keyed(name, key)
    }
}

const fn large(table: Table) -> Table {
    Table {
        page: PAGE_LARGE_ROWS,
        ..table
    }
}

/// All of them; a table stands behind those that it refers to.
pub(super) const TABLES: [Table; 29] = [
    counted("sources", &["source"]),
    keyed("dictionaries", &["dictionary"]),
    large(counted("deliveries", &["delivery"])),
    counted("payments", &["payment"]),
    counted("facts", &["fact"]),
    keyed("clues", &["payment", "field"]),
    keyed("clue_values", &["value", "field", "payment"]),
    keyed("aliases", &["id", "kind", "provider", "scope", "payment"]),
    keyed("links", &["external_id", "kind", "source", "scope"]),
    counted("decisions", &["decision"]),
    keyed("transactions", &["payment", "seq"]),
    counted("attempts", &["attempt"]),
    keyed("customers", &["destination", "customer", "customer_by"]),
    keyed("destinations", &["name"]),
    counted("inquiries", &["inquiry"]),
    keyed("unpriced", &["payment", "link_kind", "fact"]),
    counted("imports", &["import"]),
    keyed("recorded_chunks", &["digest"]),
    keyed(
        "days",
        &[
            "day",
            "source",
            "destination",
            "currency",
            "attributed",
            "ignored",
        ],
    ),
    keyed(
        "customer_days",
        &[
            "day",
            "destination",
            "customer",
            "customer_by",
            "currency",
            "source",
            "ignored",
        ],
    ),
    keyed("mirror_reads", &["destination", "kind"]),
    keyed("mirrored_customers", &["destination", "key"]),
    keyed("partners", &["destination", "key"]),
    keyed("rewards", &["destination", "key"]),
    keyed(
        "commission_days",
        &["day", "destination", "source", "currency"],
    ),
    keyed(
        "customer_commission_days",
        &[
            "day",
            "destination",
            "customer",
            "partner",
            "partnership",
            "currency",
        ],
    ),
    counted("customer_numbers", &["number"]),
    large(keyed("customer_segments", &["day"])),
    keyed("meta", &["name"]),
];

impl Table {
    /// The names of its columns, sorted.
    pub(super) fn columns(&self, tx: &Tx<'_>) -> Result<Vec<String>, LedgerError> {
        let sql = match tx.conn {
            Conn::Sqlite(_) => "SELECT name FROM pragma_table_info(?1)",
            Conn::Postgres(_) => {
                "SELECT CAST(column_name AS TEXT) FROM information_schema.columns
                 WHERE table_schema = current_schema() AND table_name = ?1"
            }
        };
        let mut names: Vec<String> = tx.all(sql, [self.name], |row| row.get(0))?;
        names.sort_unstable();
        if names.is_empty() {
            return Err(unexpected(&format!("no table {}", self.name)));
        }
        Ok(names)
    }

    /// Where each part of the key stands among `columns`.
    fn places(&self, columns: &[String]) -> Result<Vec<usize>, LedgerError> {
        let place = |part: &&str| columns.iter().position(|column| column == part);
        let places = self.key.iter().map(place);
        places
            .collect::<Option<_>>()
            .ok_or_else(|| unexpected(&format!("the key of {}", self.name)))
    }

    fn page_sql(&self, columns: &[String], behind: bool) -> String {
        let key = listed(self.key);
        let behind = match behind {
            true => {
                let values: Vec<String> = (1..=self.key.len()).map(|at| format!("?{at}")).collect();
                format!(" WHERE ({key}) > ({})", values.join(", "))
            }
            false => String::new(),
        };
        format!(
            "SELECT {} FROM {}{behind} ORDER BY {key} LIMIT {}",
            listed(columns),
            self.name,
            self.page
        )
    }

    /// Hands out the rows behind `after`, or all, in the order of the key and a page at
    /// a time; what only belongs to the store is left out.
    pub(super) fn each_row(
        &self,
        tx: &Tx<'_>,
        columns: &[String],
        mut after: Option<Vec<Owned>>,
        mut read: impl FnMut(&Row<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let places = self.places(columns)?;
        loop {
            let sql = self.page_sql(columns, after.is_some());
            let behind = after.take().unwrap_or_default();
            let mut rows = 0;
            tx.each(&sql, behind.as_slice(), |row| {
                rows += 1;
                if rows == self.page {
                    let key = places.iter().map(|at| row.value(*at).map(Value::kept));
                    after = Some(key.collect::<Result<_, _>>()?);
                }
                if self.is_of_the_store(row, &places)? {
                    return Ok(true);
                }
                read(row).map(|()| true)
            })?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn is_of_the_store(&self, row: &Row<'_>, places: &[usize]) -> Result<bool, LedgerError> {
        Ok(match (self.name, places) {
            ("meta", [name]) => {
                let name = row.text(*name)?;
                OF_THE_STORE.contains(&name) || is_presence(name)
            }
            // The program's own are in every ledger.
            ("dictionaries", [number]) => {
                let number: i64 = row.get(*number)?;
                DICTIONARIES.iter().any(|(own, _)| *own == number)
            }
            _ => false,
        })
    }

    /// The greatest key there is.
    pub(super) fn greatest(&self, tx: &Tx<'_>) -> Result<Option<Vec<Owned>>, LedgerError> {
        let falling: Vec<String> = self.key.iter().map(|it| format!("\"{it}\" DESC")).collect();
        let sql = format!(
            "SELECT {} FROM {} ORDER BY {} LIMIT 1",
            listed(self.key),
            self.name,
            falling.join(", ")
        );
        tx.one(&sql, [], |row| {
            let key = (0..self.key.len()).map(|at| row.value(at).map(Value::kept));
            key.collect()
        })
    }

    /// Whether it has any row that is not the store's own.
    pub(super) fn is_empty(&self, tx: &Tx<'_>) -> Result<bool, LedgerError> {
        match self.name {
            "dictionaries" | "meta" => {}
            _ => return Ok(self.greatest(tx)?.is_none()),
        }
        let mut empty = true;
        self.each_row(tx, &self.columns(tx)?, None, |_| {
            empty = false;
            Ok(())
        })?;
        Ok(empty)
    }

    /// A row into it.
    pub(super) fn insert_sql(&self, columns: &[String]) -> String {
        let values: Vec<String> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
        // What a copy begins with are the names that an empty ledger has as well.
        let again = match self.name {
            "meta" => " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            _ => "",
        };
        format!(
            "INSERT INTO {} ({}) VALUES ({}){again}",
            self.name,
            listed(columns),
            values.join(", ")
        )
    }

    /// What its rows come to.
    pub(super) fn digest(&self, tx: &Tx<'_>) -> Result<TableDigest, LedgerError> {
        let columns = self.columns(tx)?;
        let mut hasher = Sha256::new();
        for column in &columns {
            add(&mut hasher, Value::Text(column));
        }
        let mut rows = 0_u64;
        self.each_row(tx, &columns, None, |row| {
            rows += 1;
            for at in 0..columns.len() {
                add(&mut hasher, row.value(at)?);
            }
            Ok(())
        })?;
        Ok(TableDigest {
            table: self.name,
            rows,
            digest: hasher.finalize().into(),
        })
    }
}

/// What the rows of a table come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableDigest {
    pub table: &'static str,
    pub rows: u64,
    pub digest: [u8; 32],
}

/// The digest of the books, from those of all tables.
pub(super) fn whole(tables: &[TableDigest]) -> String {
    let mut hasher = Sha256::new();
    for table in tables {
        add(&mut hasher, Value::Text(table.table));
        hasher.update(table.rows.to_be_bytes());
        hasher.update(table.digest);
    }
    hex::encode(hasher.finalize())
}

/// One value, so that no two lists of values are the same bytes: its kind, how long it
/// is, and itself.
fn add(hasher: &mut Sha256, value: Value<'_>) {
    let mut put = |kind: u8, bytes: &[u8]| {
        hasher.update([kind]);
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    match value {
        Value::Null | Value::Absent(_) => put(0, &[]),
        Value::Int(number) => put(1, &number.to_be_bytes()),
        Value::Text(text) => put(2, text.as_bytes()),
        Value::Blob(bytes) => put(3, bytes),
    }
}

/// Names for a statement. `at` and `key` are words of SQL as well.
fn listed(names: &[impl AsRef<str>]) -> String {
    let quoted = names.iter().map(|name| format!("\"{}\"", name.as_ref()));
    quoted.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::TABLES;
    use crate::ledger::sqlite::schema;

    /// What follows `before` at the start of a line of a schema.
    fn named(sql: &str) -> BTreeSet<String> {
        let lines = sql
            .lines()
            .filter_map(|line| line.strip_prefix("CREATE TABLE "));
        let names = lines.filter_map(|rest| rest.split_whitespace().next());
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_table_of_both_stores_is_copied_in_the_order_of_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut conn = schema::connect(&dir.path().join("ledger.db")).unwrap();
        schema::migrate(&mut conn).unwrap();
        let mut asked = conn
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .unwrap();
        let names = asked.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let there: BTreeSet<String> = names.map(Result::unwrap).collect();
        let ours: BTreeSet<String> = TABLES.iter().map(|it| it.name.to_owned()).collect();
        assert_eq!(ours, there);
        // When the next call may be made is no part of a ledger.
        let mut server = named(include_str!("../sql/postgres/001.sql"));
        server.extend(named(include_str!("../sql/postgres/002.sql")));
        assert!(server.remove("rates"));
        assert_eq!(ours, server);
        for table in &TABLES {
            let sql = "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk";
            let mut asked = conn.prepare(sql).unwrap();
            let key = asked.query_map([table.name], |row| row.get::<_, String>(0));
            let key: Vec<String> = key.unwrap().map(Result::unwrap).collect();
            assert_eq!(key, table.key, "{}", table.name);
        }
    }
}
