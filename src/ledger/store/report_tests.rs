//! How SQLite reads reports, asked of SQLite itself: the roll-ups by their keys,
//! and never the payments or the facts.

use rusqlite::Connection;

use super::{NOBODYS, by_day};
use crate::ledger::sqlite::schema;
use crate::ledger::store::read::OLDEST_DUE;
use crate::ledger::store::{chosen, commission, condense, mirrored};
use crate::report::{Basis, By};

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
            (condense::ROWS.to_owned(), "customer_days"),
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

#[test]
fn commission_is_read_from_the_roll_up_and_customers_by_their_index() {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::migrate(&mut conn).unwrap();
    schema::keep_statements(&conn).unwrap();
    for by in [By::Partner, By::Customer, By::Source, By::Day, By::Month] {
        let plan = plan(&conn, &commission::by(by));
        let seek = "commission_days USING PRIMARY KEY (day>? AND day<?)";
        let seeks = plan.iter().any(|step| step.ends_with(seek));
        assert!(seeks, "{by:?}: {plan:?}");
        let rewards = plan.iter().any(|step| step.contains("rewards"));
        assert!(!rewards, "{by:?}: {plan:?}");
    }
    for (sql, index) in [
        (mirrored::BY_PROVIDER_KEY, "mirrored_by_provider_key"),
        (mirrored::BY_EMAIL, "mirrored_by_email"),
        (mirrored::PARTNER_OF_KEY, "mirrored_by_customer"),
        (mirrored::PARTNER_OF_ADDRESS, "payments_by_customer"),
        (
            &mirrored::waiting(),
            "clue_values USING PRIMARY KEY (value=?",
        ),
        (mirrored::KNOWN_PARTNER, "partners_by_partner"),
        (chosen::NAME_OF, "partners_by_partner"),
    ] {
        let plan = plan(&conn, sql);
        let seeks = plan.iter().any(|step| step.contains(index));
        assert!(seeks, "{sql}\n{plan:?}");
        let scan = plan.iter().find(|step| step.starts_with("SCAN"));
        assert_eq!(scan, None, "{sql}\n{plan:?}");
    }
}
