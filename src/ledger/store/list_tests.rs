//! How SQLite finds the payments of a list, asked of SQLite itself: always a seek
//! by an index, and never an order that has to be made first.

use rusqlite::Connection;

use super::{Order, of_customer, of_source};
use crate::ledger::sqlite::schema;
use crate::ledger::store::links::links_of;
use crate::ledger::store::search::{
    BY_ALIAS, BY_CUSTOMER, BY_DELIVERY, BY_KEY, BY_PAYMENT_ID, by_clue,
};

fn plan(sql: &str) -> Vec<String> {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::keep_statements(&conn).unwrap();
    schema::migrate(&mut conn).unwrap();
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = statement.raw_query().mapped(|row| row.get(3));
    steps.map(Result::unwrap).collect()
}

/// One seek that begins like this, and nothing that goes through or sorts a table.
fn assert_seeks(sql: &str, seeks: &[&str]) {
    let plan = plan(sql);
    for seek in seeks {
        let found = plan.iter().any(|step| step.contains(seek));
        assert!(found, "{seek} in {plan:#?}\n{sql}");
    }
    let slow = |step: &&String| {
        let scan = step.starts_with("SCAN") && !step.contains("json_each");
        let subquery = step.contains("SCAN found") || step.contains("SCAN (subquery");
        (scan && !subquery) || step.contains("B-TREE FOR ORDER BY")
    };
    assert_eq!(plan.iter().find(slow), None, "{plan:#?}\n{sql}");
}

#[test]
fn pages_are_read_by_an_index_in_its_order() {
    for order in [Order::NewestFirst, Order::OldestFirst] {
        assert_seeks(
            &of_source(order),
            &[
                "INDEX payments_by_source (source=? AND state=? AND occurred_at>? AND occurred_at<?)",
            ],
        );
        assert_seeks(
            &of_customer(order, "1, 2"),
            &[
                "INDEX payments_by_customer (destination=? AND customer=? AND state=? AND occurred_at>? AND occurred_at<?)",
            ],
        );
    }
}

#[test]
fn whatever_is_searched_for_is_found_by_an_index() {
    for (sql, seeks) in [
        (
            BY_PAYMENT_ID,
            &["(source=? AND payment_id>? AND payment_id<?)"][..],
        ),
        (
            BY_DELIVERY,
            &[
                "(source=? AND delivery_id>? AND delivery_id<?)",
                "SEARCH facts USING INDEX facts_by_delivery (delivery=?)",
            ],
        ),
        (
            BY_ALIAS,
            &["SEARCH aliases USING PRIMARY KEY (id>? AND id<?)"],
        ),
        (
            &by_clue(),
            &[
                "SEARCH clue_values USING PRIMARY KEY (value>? AND value<?)",
                "SEARCH clues USING PRIMARY KEY (payment=? AND field=?)",
                "SEARCH clues USING PRIMARY KEY (payment>?)",
            ],
        ),
        (
            BY_CUSTOMER,
            &["INDEX payments_by_customer (destination=? AND customer>? AND customer<?)"],
        ),
        (BY_KEY, &["(destination=? AND key>? AND key<?)"]),
    ] {
        assert_seeks(sql, seeks);
    }
}

#[test]
fn the_links_of_a_source_are_read_by_an_index_in_its_order() {
    assert_seeks(
        &links_of(),
        &["INDEX links_by_source (source=? AND (external_id,kind,scope)>(?,?,?))"],
    );
}
