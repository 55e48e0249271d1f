//! How SQLite reads reports, asked of SQLite itself: the roll-ups by their keys,
//! and never the payments or the facts.

use rusqlite::Connection;

use super::{NOBODYS, by_customer, by_day};
use crate::ledger::sqlite::read::OLDEST_DUE;
use crate::ledger::sqlite::schema;
use crate::report::Basis;

fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = statement.raw_query().mapped(|row| row.get(3));
    steps.map(Result::unwrap).collect()
}

#[test]
fn reports_read_days_by_their_key_and_no_payment() {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::migrate(&mut conn).unwrap();
    for basis in [Basis::Own, Basis::Sale] {
        for (sql, table) in [
            (by_day("day", basis, ""), "days"),
            (by_day("day / 100", basis, ""), "days"),
            (by_day("source", basis, ""), "days"),
            (by_day("0", basis, NOBODYS), "days"),
            (by_customer(basis), "customer_days"),
        ] {
            let plan = plan(&conn, &sql);
            let seek = format!("SEARCH {table} USING PRIMARY KEY (day>? AND day<?)");
            assert!(plan.contains(&seek), "{sql}\n{plan:?}");
            let other = |step: &&String| {
                step.contains("SCAN") || step.contains("payments") || step.contains("facts")
            };
            assert_eq!(plan.iter().find(other), None, "{sql}");
        }
    }
    let plan = plan(&conn, OLDEST_DUE);
    assert_eq!(plan.len(), 1, "{plan:?}");
    assert!(
        plan[0].contains("payments_oldest_due (destination=?)"),
        "{plan:?}"
    );
}
