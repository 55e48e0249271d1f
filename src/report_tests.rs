//! What a report is made of, by hand.

use super::*;

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn question(by: By, basis: Basis) -> Question {
    Question {
        by,
        from: Some(day("2026-06-01")),
        to: Some(day("2026-06-30")),
        zone: None,
        basis,
    }
}

fn by_day(day: Day) -> Group {
    Group::Day { day }
}

fn usd() -> Currency {
    "USD".parse().unwrap()
}

#[test]
fn a_reversal_counts_on_its_own_day_or_on_that_of_its_sale() {
    let split = Daybook {
        sale: day("2026-06-30"),
        gross: 4999,
        reversals: vec![(day("2026-07-01"), 500), (day("2026-07-09"), -500)],
    };
    let payment = Counted {
        split: &split,
        currency: usd(),
        attributed: false,
        ignored: false,
    };
    let sums = |basis, from: &str, to: &str| {
        let question = Question {
            from: Some(day(from)),
            to: Some(day(to)),
            ..question(By::Day, basis)
        };
        let mut heap = Heap::default();
        heap.add_payment(&question, &payment, by_day);
        let report = heap.report(&question, "UTC");
        let days: Vec<_> = report
            .items
            .iter()
            .map(|it| (it.gross, it.reversed))
            .collect();
        let total = report
            .totals
            .first()
            .map(|it| (it.net, it.unattributed, it.reversals));
        (days, total)
    };
    let june = ("2026-06-01", "2026-06-30");
    assert_eq!(
        sums(Basis::Own, june.0, june.1),
        (vec![(4999, 0)], Some((4999, 4999, 0)))
    );
    assert_eq!(
        sums(Basis::Own, "2026-07-01", "2026-07-08"),
        (vec![(0, 500)], Some((-500, -500, 1)))
    );
    assert_eq!(
        sums(Basis::Own, june.0, "2026-07-09"),
        (vec![(4999, 0), (0, 500), (0, -500)], Some((4999, 4999, 1)))
    );
    assert_eq!(
        sums(Basis::Sale, june.0, june.1),
        (vec![(4999, 0)], Some((4999, 4999, 0)))
    );
    assert_eq!(
        sums(Basis::Sale, "2026-07-01", "2026-07-09"),
        (vec![], None)
    );
}

#[test]
fn who_brought_most_stands_first_and_currencies_stay_apart() {
    let question = question(By::Customer, Basis::Own);
    let mut heap = Heap::default();
    let customer = |key: Option<&str>| Group::Customer {
        destination: key.map(|_| "ps".to_owned()),
        customer_key: key.map(str::to_owned),
        partner_key: None,
        attributed: key.is_some(),
    };
    for (key, code, gross) in [
        (None, "USD", 90_000),
        (Some("a"), "USD", 100),
        (Some("b"), "USD", 300),
        (Some("c"), "JPY", 7),
        (Some("a"), "USD", 50),
    ] {
        let sums = Sums {
            gross,
            payments: 1,
            ..Sums::default()
        };
        heap.add(customer(key), code.parse().unwrap(), &sums);
    }
    let report = heap.report(&question, "UTC");
    let order: Vec<_> = report
        .items
        .iter()
        .map(|line| match &line.group {
            Some(Group::Customer { customer_key, .. }) => (customer_key.as_deref(), line.net),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        order,
        [
            (Some("c"), 7),
            (Some("b"), 300),
            (Some("a"), 150),
            (None, 90_000)
        ]
    );
    let totals: Vec<_> = report
        .totals
        .iter()
        .map(|it| (it.currency.code(), it.net))
        .collect();
    assert_eq!(totals, [("JPY", 7), ("USD", 90_450)]);
}
