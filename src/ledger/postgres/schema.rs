//! Looking at the server and bringing the schema to this program's version. It knows
//! tables only as whole versions; what is in them belongs to the verbs.
//!
//! Several replicas may start at once. Each version is one transaction that holds the
//! row of the writer; the first one has no such row yet, and there the server lets one
//! of them make the tables and tells the others, which look again.

use std::time::Duration;

use super::client::Client;
use super::errors::Fault;
use crate::ledger::LedgerError;
use crate::ledger::closed::refuse_closed;
use crate::ledger::packing::DICTIONARIES;
use crate::ledger::sql::Value;

/// The versions in order; `meta` says how many a ledger has had.
const VERSIONS: [&str; 3] = [
    include_str!("../sql/postgres/001.sql"),
    include_str!("../sql/postgres/002.sql"),
    include_str!("../sql/postgres/003.sql"),
];

/// The oldest server, as `server_version_num` counts, and for people.
const SERVER_LEAST: (i64, &str) = (140_000, "14");

/// How often somebody else may be first before it is an error, and the pause between.
const RACES_MOST: u32 = 20;
const RACE_PAUSE: Duration = Duration::from_millis(50);

/// What a transaction is told when another one made the same tables: duplicate table,
/// duplicate object, unique violation in the catalogue, serialization failure,
/// deadlock, and "tuple concurrently updated", which has no code of its own.
const RACED: [&str; 6] = ["42P07", "42710", "23505", "40001", "40P01", "XX000"];

const SETTINGS: &str = "SELECT name, setting FROM pg_catalog.pg_settings
    WHERE name IN ('server_version_num', 'server_version', 'server_encoding',
                   'synchronous_commit', 'fsync', 'full_page_writes')
    ORDER BY name";

/// Tables, views and sequences where ours would be, but for those of extensions,
/// which managed databases put there.
const RELATIONS: &str = "SELECT c.relname, c.relkind = 'r' FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid
                      AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'e')";

/// Whether this is a ledger, by a name that no other program writes.
const OURS: &str = "SELECT value FROM meta WHERE name = 'ledger'";

/// All who write take this row first, and look whether they may.
pub(in crate::ledger) const WRITER: &str =
    "SELECT value FROM meta WHERE name = 'writer' FOR UPDATE";

const DICTIONARIES_KNOWN: &str = "SELECT dictionary FROM dictionaries";

const VERSION: &str = "SELECT value FROM meta WHERE name = 'version'";

/// Refuses a server on which an answer would promise more than is kept.
pub(in crate::ledger) fn look_at_server(client: &mut Client) -> Result<(), LedgerError> {
    let mut settings = Vec::new();
    for row in client.query(SETTINGS, &[])?.iter() {
        if let (Value::Text(name), Value::Text(setting)) = (row.value(0)?, row.value(1)?) {
            settings.push((name.to_owned(), setting.to_owned()));
        }
    }
    let named: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, setting)| (name.as_str(), setting.as_str()))
        .collect();
    for warning in judge(&named)? {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// What settings mean for a ledger: warnings, or why it is refused. A setting that is
/// not there belongs to another server than PostgreSQL.
fn judge(settings: &[(&str, &str)]) -> Result<Vec<String>, LedgerError> {
    let of = |name: &str| {
        let found = settings.iter().find(|(known, _)| *known == name);
        found.map(|(_, setting)| *setting)
    };
    let (least, least_name) = SERVER_LEAST;
    let number = of("server_version_num").and_then(|it| it.parse::<i64>().ok());
    if number.is_some_and(|number| number < least) {
        return Err(LedgerError::Unusable(format!(
            "the ledger needs PostgreSQL {least_name} or newer, and this is {}",
            of("server_version").unwrap_or("older")
        )));
    }
    if of("synchronous_commit") == Some("off") {
        return Err(LedgerError::Unusable(
            "PostgreSQL has synchronous_commit = off: a webhook answered with 200 could be lost; \
             set it to on for this database or user"
                .to_owned(),
        ));
    }
    if let Some(encoding) = of("server_encoding").filter(|encoding| *encoding != "UTF8") {
        return Err(LedgerError::Unusable(format!(
            "the database is encoded in {encoding}: make one with ENCODING 'UTF8'"
        )));
    }
    let unsafe_ones = ["fsync", "full_page_writes"];
    let off = unsafe_ones
        .into_iter()
        .filter(|name| of(name) == Some("off"));
    let warned = off.map(|name| {
        format!("PostgreSQL has {name} = off: a power cut can destroy the ledger; set it to on")
    });
    Ok(warned.collect())
}

/// Brings the database to this program's version; refuses a newer one and any
/// database that is not ours.
pub(in crate::ledger) fn migrate(client: &mut Client) -> Result<(), LedgerError> {
    let mut raced = 0;
    loop {
        let fault = match next_version(client) {
            Ok(true) => return Ok(()),
            Ok(false) => continue,
            Err(fault) => fault,
        };
        if fault.lost {
            return Err(fault.error);
        }
        client.roll_back("ROLLBACK")?;
        let code = fault.state.as_ref().map(|state| state.code());
        raced += 1;
        if raced > RACES_MOST || !code.is_some_and(|code| RACED.contains(&code)) {
            return Err(fault.error);
        }
        std::thread::sleep(RACE_PAUSE * raced);
    }
}

/// Runs the next version in a transaction of its own, if there is one; true where
/// nothing is left to do. After an error the transaction is still open.
fn next_version(client: &mut Client) -> Result<bool, Fault> {
    client.attempt("BEGIN ISOLATION LEVEL READ COMMITTED")?;
    let done = version(client)?;
    let next = usize::try_from(done).ok();
    let Some(sql) = next.and_then(|next| VERSIONS.get(next)) else {
        let known = i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX);
        if done != known {
            client.attempt("ROLLBACK")?;
            return Err(LedgerError::Unusable(format!(
                "the ledger is of version {done} and this program knows {known}; \
                 use a newer program"
            ))
            .into());
        }
        add_dictionaries(client)?;
        client.commit()?;
        return Ok(true);
    };
    // What is not whole or not in use any more stays as it is.
    if done > 0 {
        refuse_closed(&writer(client)?)?;
    }
    client.attempt(sql)?;
    let now = (done + 1).to_string();
    client.execute(
        "INSERT INTO meta (name, value) VALUES ('version', ?1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[Value::Text(&now)],
    )?;
    client.commit()?;
    Ok(false)
}

/// Adds those of this program that the ledger has not yet, to one that is in use.
fn add_dictionaries(client: &mut Client) -> Result<(), LedgerError> {
    if refuse_closed(&writer(client)?).is_err() {
        return Ok(());
    }
    let mut known = Vec::new();
    for row in client.query(DICTIONARIES_KNOWN, &[])?.iter() {
        known.push(row.value(0)?.kept());
    }
    for (dictionary, bytes) in DICTIONARIES {
        let number = Value::Int(dictionary);
        if !known.contains(&number.kept()) {
            let insert = "INSERT INTO dictionaries (dictionary, bytes) VALUES (?1, ?2)";
            client.execute(insert, &[number, Value::Blob(bytes)])?;
        }
    }
    Ok(())
}

/// Takes the writer's row; answers what stands in it.
fn writer(client: &mut Client) -> Result<String, LedgerError> {
    let rows = client.query(WRITER, &[])?;
    match rows.first().map(|row| row.value(0)).transpose()? {
        Some(Value::Text(text)) => Ok(text.to_owned()),
        _ => Ok(String::new()),
    }
}

/// Whether there is a ledger of ours; any other database is an error.
pub(in crate::ledger) fn is_there(client: &mut Client) -> Result<bool, LedgerError> {
    client.attempt("BEGIN ISOLATION LEVEL READ COMMITTED")?;
    let done = version(client)?;
    client.attempt("ROLLBACK")?;
    Ok(done > 0)
}

/// How many versions the database has had; holds the writer's row where there is one.
fn version(client: &mut Client) -> Result<i64, Fault> {
    let mut tables = Vec::new();
    for row in client.query(RELATIONS, &[])?.iter() {
        if let (Value::Text(name), Value::Int(is_table)) = (row.value(0)?, row.value(1)?) {
            tables.push((name.to_owned(), is_table == 1));
        }
    }
    if tables.is_empty() {
        return Ok(0);
    }
    let foreign = || {
        LedgerError::Unusable(
            "the database is a PostgreSQL database, but not a Tributary ledger: \
             give the ledger a database of its own"
                .to_owned(),
        )
    };
    if !tables.contains(&("meta".to_owned(), true)) {
        return Err(foreign().into());
    }
    // A table of this name may be anybody's; then its columns are others.
    let undefined = |fault: LedgerError| match fault {
        LedgerError::Unusable(_) => foreign(),
        other => other,
    };
    if client.query(OURS, &[]).map_err(undefined)?.is_empty() {
        return Err(foreign().into());
    }
    writer(client)?;
    let said = client.query(VERSION, &[])?;
    let number = match said.first().map(|row| row.value(0)).transpose()? {
        Some(Value::Text(text)) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| {
        LedgerError::Unusable("the ledger does not say of which version it is".to_owned()).into()
    })
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn a_server_that_promises_too_much_is_refused() {
        let refused = |settings: &[(&str, &str)]| judge(settings).unwrap_err().to_string();
        let old = [
            ("server_version_num", "130014"),
            ("server_version", "13.14"),
        ];
        assert!(refused(&old).contains("14 or newer, and this is 13.14"));
        assert!(refused(&[("synchronous_commit", "off")]).contains("synchronous_commit = off"));
        assert!(refused(&[("server_encoding", "SQL_ASCII")]).contains("SQL_ASCII"));
        let good = [
            ("server_version_num", "140000"),
            ("synchronous_commit", "remote_apply"),
            ("server_encoding", "UTF8"),
            ("fsync", "on"),
        ];
        assert_eq!(judge(&good).unwrap(), Vec::<String>::new());
        let warned = judge(&[("fsync", "off"), ("full_page_writes", "off")]).unwrap();
        assert_eq!(warned.len(), 2, "{warned:?}");
        // A server that is no PostgreSQL and says nothing of the sort.
        assert!(judge(&[]).unwrap().is_empty());
    }
}
