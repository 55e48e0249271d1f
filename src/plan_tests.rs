//! Each policy by name, and the property that planning, calling and settling
//! always ends with the destination holding exactly the target.

use proptest::prelude::*;

use super::*;
use crate::position::Captured;

fn at(gross: Minor, reversed: Minor) -> Position {
    Position {
        capture: Some(Captured {
            gross,
            currency: "USD".parse().unwrap(),
            at: Time(1),
            product_key: None,
            category_key: None,
        }),
        refunds: reversed,
        newest_reversal: (reversed > 0).then_some(Time(2)),
        ..Position::default()
    }
}

fn terms(policy: Policy) -> Terms {
    Terms {
        policy,
        v2_available: true,
    }
}

fn acme() -> Customer {
    Customer::key("acme")
}

fn row(seq: u32, amount: Minor, state: RowState) -> Row {
    Row {
        seq,
        customer: acme(),
        currency: "USD".parse().unwrap(),
        amount,
        state,
        undeletable: false,
        note: None,
    }
}

fn step(position: &Position, rows: &[Row], policy: Policy) -> Step {
    plan(
        position,
        rows,
        Some(&acme()),
        terms(policy),
        &Ruling::default(),
    )
}

/// Carries a step out on a destination that does what it is told.
fn carry_out(rows: &mut Vec<Row>, step: &Step, customer: &Customer) {
    match step {
        Step::Post { seq, amount, .. } => {
            rows.retain(|row| row.seq != *seq);
            let customer = customer.clone();
            rows.push(Row {
                customer,
                ..row(*seq, *amount, RowState::Live)
            });
        }
        Step::Delete { seq } => {
            rows.iter_mut()
                .filter(|row| row.seq == *seq)
                .for_each(|row| row.state = RowState::Gone);
        }
        Step::Confirm { .. } | Step::Hold(_) | Step::Nothing => {}
    }
}

fn live(rows: &[Row]) -> Minor {
    rows.iter()
        .filter(|row| row.state == RowState::Live)
        .map(|row| row.amount)
        .sum()
}

#[test]
fn the_four_policies_on_a_partial_refund() {
    let rows = [row(1, 4999, RowState::Live)];
    let part = at(4999, 500);
    let negative = Step::Post {
        seq: 2,
        amount: -500,
        at: Time(2),
        reversal_of: Some(1),
    };
    assert_eq!(step(&part, &rows, Policy::Negative), negative);
    assert_eq!(step(&part, &rows, Policy::Replace), Step::Delete { seq: 1 });
    assert_eq!(step(&part, &rows, Policy::Delete), Step::Delete { seq: 1 });
    assert!(matches!(step(&part, &rows, Policy::Hold), Step::Hold(_)));
    let gone = [row(1, 4999, RowState::Gone)];
    let net = Step::Post {
        seq: 2,
        amount: 4499,
        at: Time(1),
        reversal_of: None,
    };
    assert_eq!(step(&part, &gone, Policy::Replace), net);
    assert_eq!(step(&part, &gone, Policy::Delete), Step::Nothing);
}

#[test]
fn a_full_reversal_deletes_one_row_and_balances_several() {
    let full = at(4999, 4999);
    assert_eq!(
        step(&full, &[row(1, 4999, RowState::Live)], Policy::Negative),
        Step::Delete { seq: 1 }
    );
    let two = [row(1, 4999, RowState::Live), row(2, -500, RowState::Live)];
    let last = Step::Post {
        seq: 3,
        amount: -4499,
        at: Time(2),
        reversal_of: Some(1),
    };
    assert_eq!(step(&full, &two, Policy::Negative), last);
}

#[test]
fn a_refund_before_the_sale_posts_only_the_net() {
    let net = Step::Post {
        seq: 1,
        amount: 4499,
        at: Time(1),
        reversal_of: None,
    };
    assert_eq!(step(&at(4999, 500), &[], Policy::Negative), net);
    assert_eq!(step(&at(4999, 4999), &[], Policy::Negative), Step::Nothing);
    assert_eq!(step(&at(4999, 500), &[], Policy::Delete), Step::Nothing);
}

#[test]
fn a_dispute_won_after_a_delete_posts_again_under_the_next_key() {
    let again = Step::Post {
        seq: 2,
        amount: 4999,
        at: Time(1),
        reversal_of: None,
    };
    assert_eq!(
        step(
            &at(4999, 0),
            &[row(1, 4999, RowState::Gone)],
            Policy::Negative
        ),
        again
    );
}

#[test]
fn an_absent_row_is_sent_again_under_its_own_key() {
    let again = Step::Post {
        seq: 1,
        amount: 4999,
        at: Time(1),
        reversal_of: None,
    };
    assert_eq!(
        step(
            &at(4999, 0),
            &[row(1, 4999, RowState::Absent)],
            Policy::Negative
        ),
        again
    );
}

#[test]
fn an_unknown_outcome_allows_only_the_read_back() {
    for state in [RowState::PostUnknown, RowState::DeleteUnknown] {
        let rows = [row(1, 4999, RowState::Live), row(2, -500, state)];
        assert_eq!(
            step(&at(4999, 4999), &rows, Policy::Negative),
            Step::Confirm { seq: 2 }
        );
        let blind = Terms {
            policy: Policy::Negative,
            v2_available: false,
        };
        let held = plan(
            &at(4999, 4999),
            &rows,
            Some(&acme()),
            blind,
            &Ruling::default(),
        );
        assert!(matches!(held, Step::Hold(_)));
    }
}

#[test]
fn what_somebody_else_did_to_our_rows_is_held() {
    let missing = [row(1, 4999, RowState::Missing)];
    assert!(matches!(
        step(&at(4999, 0), &missing, Policy::Negative),
        Step::Hold(_)
    ));
    assert_eq!(
        step(&at(4999, 4999), &missing, Policy::Negative),
        Step::Nothing
    );
    let suspect = [row(1, 4999, RowState::Suspect)];
    assert!(matches!(
        step(&at(4999, 4999), &suspect, Policy::Negative),
        Step::Hold(_)
    ));
}

#[test]
fn a_refused_delete_is_held_until_a_person_chooses_a_negative() {
    let mut stuck = row(1, 4999, RowState::Live);
    stuck.undeletable = true;
    let full = at(4999, 4999);
    assert!(matches!(
        step(&full, &[stuck.clone()], Policy::Negative),
        Step::Hold(_)
    ));
    let ruling = Ruling {
        policy: Some((Policy::Negative, full.fingerprint())),
        ..Ruling::default()
    };
    let posted = plan(
        &full,
        &[stuck],
        Some(&acme()),
        terms(Policy::Negative),
        &ruling,
    );
    assert!(matches!(posted, Step::Post { amount: -4999, .. }));
}

#[test]
fn without_v2_a_full_reversal_is_a_negative() {
    let blind = Terms {
        policy: Policy::Negative,
        v2_available: false,
    };
    let rows = [row(1, 4999, RowState::Live)];
    let posted = plan(
        &at(4999, 4999),
        &rows,
        Some(&acme()),
        blind,
        &Ruling::default(),
    );
    assert!(matches!(
        posted,
        Step::Post {
            seq: 2,
            amount: -4999,
            ..
        }
    ));
}

#[test]
fn a_skip_holds_again_when_the_money_moves() {
    let before = at(4999, 0);
    let ruling = Ruling {
        skipped: Some(before.fingerprint()),
        ..Ruling::default()
    };
    let decide = |position: &Position| {
        plan(
            position,
            &[],
            Some(&acme()),
            terms(Policy::Negative),
            &ruling,
        )
    };
    assert_eq!(decide(&before), Step::Nothing);
    assert!(matches!(decide(&at(4999, 500)), Step::Hold(_)));
}

#[test]
fn an_accepted_doubt_goes_on_for_this_position_only() {
    let mut doubtful = at(4999, 500);
    doubtful.doubt = Some(Doubt::Unlisted);
    let ruling = Ruling {
        accepted: Some(doubtful.fingerprint()),
        ..Ruling::default()
    };
    let decide = |position: &Position| {
        plan(
            position,
            &[],
            Some(&acme()),
            terms(Policy::Negative),
            &ruling,
        )
    };
    assert!(matches!(decide(&doubtful), Step::Post { amount: 4499, .. }));
    doubtful.refunds = 600;
    assert!(matches!(decide(&doubtful), Step::Hold(_)));
}

#[test]
fn a_move_deletes_under_the_old_customer_and_posts_under_the_new() {
    let mut rows = vec![row(1, 4999, RowState::Live), row(2, -500, RowState::Live)];
    let other = Customer::key("other");
    let part = at(4999, 500);
    for _ in 0..3 {
        let step = plan(
            &part,
            &rows,
            Some(&other),
            terms(Policy::Negative),
            &Ruling::default(),
        );
        carry_out(&mut rows, &step, &other);
    }
    assert_eq!(live(&rows), 4499);
    assert!(
        rows.iter()
            .filter(|row| row.state == RowState::Live)
            .all(|row| row.customer == other)
    );
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Negative),
        Just(Policy::Replace),
        Just(Policy::Delete),
        Just(Policy::Hold)
    ]
}

/// More steps than any history of ten positions can need.
const STEPS_AT_MOST: usize = 24;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Positions come in any sequence, policies may change between them; after
    /// each the steps end, and unless a person is asked the live sum is the target.
    #[test]
    fn planning_ends_and_the_live_sum_is_the_target(
        history in prop::collection::vec((any_policy(), 0_i64..100, any::<bool>()), 1..10),
        blind in any::<bool>(),
    ) {
        let mut rows: Vec<Row> = Vec::new();
        let mut keys = std::collections::BTreeSet::new();
        for (policy, reversed, moved) in history {
            let position = at(99, reversed);
            let customer = if moved && !blind { Customer::key("other") } else { acme() };
            let terms = Terms { policy, v2_available: !blind };
            let mut last = Step::Nothing;
            for turn in 0.. {
                prop_assert!(turn < STEPS_AT_MOST, "no end: {rows:?}");
                last = plan(&position, &rows, Some(&customer), terms, &Ruling::default());
                if let Step::Post { seq, amount, .. } = last {
                    prop_assert_ne!(amount, 0);
                    prop_assert!(keys.insert(seq), "key {} used twice", seq);
                }
                if matches!(last, Step::Nothing | Step::Hold(_)) {
                    break;
                }
                carry_out(&mut rows, &last, &customer);
            }
            match last {
                Step::Nothing => prop_assert_eq!(Some(live(&rows)), target(&position, policy)),
                _ => prop_assert!(policy == Policy::Hold, "held: {:?}", last),
            }
        }
    }
}
