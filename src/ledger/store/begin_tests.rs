//! How SQLite finds what is next to do, asked of SQLite itself: a seek by an
//! index, and nothing that grows with the backlog.

use rusqlite::Connection;

use super::{NEXT_DUE, PROBE_DUE, READ_BACK_DUE};
use crate::ledger::sqlite::schema;
use crate::ledger::store::customers::{CUSTOMER_DUE, CUSTOMER_WAITING};
use crate::ledger::store::readback::DUE_READ_BACKS;
use crate::ledger::store::same_money::PERHAPS_THERE;

/// The plan of a statement, a line for each step.
fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = statement
        .raw_bind_parameter(1, "ps")
        .map(|()| statement.raw_query());
    steps
        .unwrap()
        .mapped(|row| row.get(3))
        .map(Result::unwrap)
        .collect()
}

#[test]
fn what_is_next_is_found_by_one_seek_at_any_backlog() {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::keep_statements(&conn).unwrap();
    schema::migrate(&mut conn).unwrap();
    for (sql, index) in [
        (
            NEXT_DUE,
            "payments_due (destination=? AND turn=? AND lane=?",
        ),
        (
            READ_BACK_DUE,
            "payments_due (destination=? AND turn=? AND lane=?",
        ),
        (
            DUE_READ_BACKS,
            "payments_due (destination=? AND turn=? AND lane=?",
        ),
        (PROBE_DUE, "customers_probe (destination=?"),
        (CUSTOMER_DUE, "customers_probe (destination=?"),
        (
            CUSTOMER_WAITING,
            "payments_by_customer (destination=? AND customer=?",
        ),
    ] {
        let plan = plan(&conn, sql);
        assert_eq!(plan.len(), 1, "{sql}\n{plan:?}");
        let seek = plan[0].starts_with("SEARCH ") && plan[0].contains(&format!("INDEX {index}"));
        assert!(seek, "{sql}\n{plan:?}");
    }
}

/// Before each first post: what a customer has by the millions is not looked at, only what
/// was read back for it.
#[test]
fn what_may_stand_there_already_is_found_by_seeks_that_begin_with_what_was_read_back() {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::keep_statements(&conn).unwrap();
    schema::migrate(&mut conn).unwrap();
    let plan = plan(&conn, PERHAPS_THERE);
    let by_customer = "INDEX payments_read_back (destination=? AND customer=?)";
    let read_back = plan.iter().position(|step| step.contains(by_customer));
    let rows = plan.iter().position(|step| step.contains(" there "));
    assert!(read_back.is_some() && read_back < rows, "{plan:?}");
    assert!(
        plan.iter().all(|step| step.starts_with("SEARCH ")),
        "{plan:?}"
    );
}
