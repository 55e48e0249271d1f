//! Lists as people read them: every filter and page against the payments put in
//! order by hand; searching; what waits for a link; what a link would do.

use tributary::ledger::book::State;
use tributary::ledger::story::PaymentView;
use tributary::ledger::unattributed::{Group, Why};
use tributary::ledger::{Cursor, Filter, Ledger, LedgerError, LinkPlace, NewLink, Search};
use tributary::movement::{Clue, Reading};
use tributary::time::{SECOND_MS, Time};

use crate::bench::*;
use crate::rows;

/// A charge whose money moved `second` after the start.
fn charge_at(id: &str, amount: i64, customer: Option<&str>, second: i64) -> Reading {
    let mut reading = charge(id, amount, customer);
    reading.movements[0].fact.at = START.plus(second * SECOND_MS);
    reading
}

fn at(second: i64) -> Time {
    START.plus(second * SECOND_MS)
}

fn search(text: &str, plain: bool) -> Filter {
    Filter {
        search: Some(Search {
            text: text.to_owned(),
            plain,
        }),
        ..Filter::default()
    }
}

/// All pages of a list, from the newest on.
async fn walk(ledger: &Ledger, filter: &Filter, limit: usize) -> Vec<PaymentView> {
    let mut all = Vec::new();
    let mut filter = filter.clone();
    loop {
        let page = ledger.payments(filter.clone(), limit).await.unwrap();
        assert!(page.items.len() <= limit);
        all.extend(page.items);
        match page.next_cursor {
            Some(next) => filter.cursor = Some(next),
            None => return all,
        }
    }
}

fn ids(items: &[PaymentView]) -> Vec<&str> {
    items.iter().map(|it| it.payment_id.as_str()).collect()
}

/// Sixty payments at three sources, recorded in another order than that in which the
/// money moved, of which some moved in the same moment.
async fn mixed() -> Bench {
    let mut other = terms("second");
    other.provider = "chargebee".to_owned();
    let mut bench = Bench::with(vec![terms("stripe"), other, terms("third")]);
    for source in ["stripe", "second", "third"] {
        bench.deliver_to(source, customer("cus_A", "acme", 1)).await;
        bench
            .deliver_to(source, customer("cus_B", "globex", 1))
            .await;
    }
    for number in 0..60_i64 {
        let source = ["stripe", "second", "third"][usize::try_from(number % 7 % 3).unwrap()];
        let whose = [Some("cus_A"), Some("cus_B"), Some("cus_C"), None];
        let whose = whose[usize::try_from(number % 5 % 4).unwrap()];
        let second = number * 37 % 23;
        let amount = if number % 9 == 0 { 0 } else { 100 + number };
        let id = format!("ch_{number:02}");
        bench
            .deliver_to(source, charge_at(&id, amount, whose, second))
            .await;
    }
    let mut there = There::default();
    for _ in 0..10 {
        if let Some(begun) = bench.begin().await {
            there.carry_out(&begun.call);
            let accepted = tributary::destination::Outcome::Accepted;
            bench.ledger.settle(begun.claim, accepted, 0).await.unwrap();
        }
    }
    bench
}

#[tokio::test]
async fn every_filter_lists_what_it_means_in_the_order_of_the_money() {
    let bench = mixed().await;
    let mut everything = bench
        .ledger
        .payments(Filter::default(), 1_000)
        .await
        .unwrap();
    everything
        .items
        .sort_by(|a, b| (&b.occurred_at, b.row).cmp(&(&a.occurred_at, a.row)));
    let everything = everything.items;
    assert_eq!(everything.len(), 60);
    let states = [
        None,
        Some(State::Settled),
        Some(State::Unattributed),
        Some(State::Failed),
    ];
    let mut lists = 0;
    for state in states {
        for source in [None, Some("stripe"), Some("third")] {
            for provider in [None, Some("stripe"), Some("chargebee")] {
                for customer in [None, Some("acme"), Some("nobody")] {
                    for (since, until) in [(None, None), (Some(at(4)), Some(at(15)))] {
                        let filter = Filter {
                            state,
                            source: source.map(str::to_owned),
                            provider: provider.map(str::to_owned),
                            customer: customer.map(str::to_owned),
                            since,
                            until,
                            ..Filter::default()
                        };
                        let meant: Vec<&PaymentView> = everything
                            .iter()
                            .filter(|it| {
                                state.is_none_or(|only| only.word() == it.state)
                                    && source.is_none_or(|only| only == it.source)
                                    && provider.is_none_or(|only| only == it.provider)
                                    && customer
                                        .is_none_or(|only| it.customer_key.as_deref() == Some(only))
                                    && since.is_none_or(|since| it.occurred_at >= since.to_string())
                                    && until.is_none_or(|until| it.occurred_at < until.to_string())
                            })
                            .collect();
                        let listed = walk(&bench.ledger, &filter, 7).await;
                        let listed: Vec<&PaymentView> = listed.iter().collect();
                        assert_eq!(listed, meant, "{filter:?}");
                        lists += usize::from(!meant.is_empty());
                    }
                }
            }
        }
    }
    assert!(lists > 40, "{lists} lists had anything in them");
}

#[tokio::test]
async fn pages_go_both_ways_and_stay_while_new_payments_come() {
    let mut bench = mixed().await;
    let whole = walk(&bench.ledger, &Filter::default(), 1_000).await;
    let page = |cursor: Option<Cursor>| {
        let filter = Filter {
            cursor,
            ..Filter::default()
        };
        bench.ledger.payments(filter, 9)
    };
    let first = page(None).await.unwrap();
    assert_eq!(first.previous_cursor, None);
    let second = page(first.next_cursor).await.unwrap();
    let third = page(second.next_cursor).await.unwrap();
    assert_eq!(ids(&third.items), ids(&whole[18..27]));
    let back = page(third.previous_cursor).await.unwrap();
    assert_eq!(back.items, second.items);
    assert_eq!(back.next_cursor, second.next_cursor);
    // Before the second page there is exactly the first, which has none before it.
    let begin = page(back.previous_cursor).await.unwrap();
    assert_eq!(begin.items, first.items);
    assert_eq!(begin.previous_cursor, None);

    // Newer money and older money that is recorded only now.
    let next = third.next_cursor;
    bench.deliver(charge_at("ch_new", 100, None, 99)).await;
    bench.deliver(charge_at("ch_old", 100, None, -99)).await;
    let filter = Filter {
        cursor: next,
        ..Filter::default()
    };
    let rest = walk(&bench.ledger, &filter, 9).await;
    let mut expected = ids(&whole[27..]);
    expected.push("ch_old");
    assert_eq!(ids(&rest), expected);
}

#[tokio::test]
async fn a_payment_is_found_by_the_beginning_of_anything_that_names_it() {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "acme-42", 1)).await;
    let mut sold = charge_at("ch_sold", 900, Some("cus_A"), 5);
    sold.delivery_id = Some("evt_sold".to_owned());
    sold.clues.push(Clue {
        payment_id: "ch_sold".to_owned(),
        field: "email".to_owned(),
        value: "jenny@example.com".to_owned(),
        version: 1,
    });
    bench.deliver(sold).await;
    bench
        .deliver(charge_at("ch_other", 900, Some("cus_Z"), 9))
        .await;
    let mut there = There::default();
    bench.run(&mut there).await;

    let found = async |filter: Filter| -> Vec<String> {
        let page = bench.ledger.payments(filter, 50).await.unwrap();
        assert!(!page.cut);
        page.items.into_iter().map(|it| it.payment_id).collect()
    };
    for text in [
        "ch_sold",
        "ch_s",
        "acme-42",
        "acme",
        "evt_sold",
        "evt_s",
        "pi_ch_sold",
        "pi_ch_s",
        "cus_A",
        "stripe:ch_sold",
        "jenny@example.com",
    ] {
        assert_eq!(found(search(text, true)).await, ["ch_sold"], "{text}");
        assert_eq!(found(search(text, false)).await, ["ch_sold"], "{text}");
    }
    assert_eq!(found(search("ch_", true)).await, ["ch_other", "ch_sold"]);
    // An address cannot be spelled out by who may not see it.
    assert_eq!(found(search("jen", true)).await, ["ch_sold"]);
    for nothing in ["jen", "Acme", "h_sold", "ch_sold2", "%", "ch%"] {
        assert_eq!(found(search(nothing, false)).await, [""; 0], "{nothing}");
    }
    // It narrows down like any other filter, and is paged like any other list.
    let settled = Filter {
        state: Some(State::Settled),
        ..search("ch_", true)
    };
    assert_eq!(found(settled).await, ["ch_sold"]);
    assert_eq!(
        ids(&walk(&bench.ledger, &search("ch_", true), 1).await),
        ["ch_other", "ch_sold"]
    );
}

#[tokio::test]
async fn a_search_that_means_too_many_says_so_and_a_customers_payments_are_all_found() {
    let mut bench = Bench::new();
    bench.deliver(customer("cus_A", "acme", 1)).await;
    for number in 0..520_i64 {
        let id = format!("ch_{number:03}");
        bench
            .deliver(charge_at(&id, 900, Some("cus_A"), number))
            .await;
    }
    let page = bench
        .ledger
        .payments(search("ch_", true), 50)
        .await
        .unwrap();
    assert!(page.cut);
    let of_customer = walk(&bench.ledger, &search("acme", true), 100).await;
    assert_eq!(of_customer.len(), 520);
    assert_eq!(of_customer[0].payment_id, "ch_519");
    let one = bench
        .ledger
        .payments(search("ch_007", true), 50)
        .await
        .unwrap();
    assert_eq!((ids(&one.items), one.cut), (vec!["ch_007"], false));
}

fn group<'a>(groups: &'a [Group], source: &str, why: Why) -> &'a Group {
    let found = groups
        .iter()
        .find(|it| it.source == source && it.why == why);
    found.unwrap_or_else(|| panic!("{source} {why:?} in {groups:#?}"))
}

#[tokio::test]
async fn what_waits_for_one_id_is_one_group_and_one_link_frees_it() {
    let mut no_rules = terms("bare");
    no_rules.rules.clear();
    let mut bench = Bench::with(vec![terms("stripe"), no_rules]);
    for (id, amount, whose, second) in [
        ("ch_1", 500, Some("cus_A"), 1),
        ("ch_2", 700, Some("cus_A"), 9),
        ("ch_3", 100, Some("cus_B"), 5),
        ("ch_4", 50, None, 3),
    ] {
        bench.deliver(charge_at(id, amount, whose, second)).await;
    }
    bench.deliver(refund("ch_2", "re_1", 200, 11)).await;
    bench
        .deliver_to("bare", charge_at("ch_5", 30, None, 2))
        .await;

    let groups = bench.ledger.unattributed(Filter::default()).await.unwrap();
    assert_eq!((groups.items.len(), groups.looked_at), (3, 5));
    assert_eq!(groups.next_cursor, None);
    let linkable = group(&groups.items, "stripe", Why::NotLinked);
    assert_eq!((linkable.payments, linkable.at_stake[0].net), (3, 1100));
    assert_eq!(linkable.kinds, ["customer"]);
    assert_eq!(linkable.oldest, at(1).to_string());
    assert_eq!(linkable.newest, at(9).to_string());
    let example = linkable.example().unwrap();
    assert_eq!(
        (
            example.kind.as_deref(),
            example.id.as_str(),
            example.payments
        ),
        (Some("customer"), "cus_A", 2)
    );
    assert_eq!(example.at_stake[0].net, 1000);
    let bare = group(&groups.items, "bare", Why::NoRules);
    assert_eq!((bare.payments, bare.waited_for.len()), (1, 0));
    let rules = &group(&groups.items, "stripe", Why::NoValue).rules;
    assert!(rules.iter().all(|it| it.came_to == "not_set"), "{rules:?}");

    // The example is what `link` takes, and all of its payments go on.
    let link = NewLink {
        source: "stripe".to_owned(),
        kind: example.kind.clone().unwrap(),
        external_id: example.id.clone(),
        customer_key: "acme".to_owned(),
        amount: None,
        replace: false,
        move_forwarded: false,
    };
    bench.ledger.link(link, bench.word()).await.unwrap();
    let left = bench.ledger.unattributed(Filter::default()).await.unwrap();
    let linkable = group(&left.items, "stripe", Why::NotLinked);
    assert_eq!((linkable.payments, linkable.at_stake[0].net), (1, 100));

    // One that the destination does not know is another matter.
    let begun = bench.begin().await.unwrap();
    let unknown = tributary::destination::Outcome::CustomerUnknown;
    bench.ledger.settle(begun.claim, unknown, 0).await.unwrap();
    let left = bench.ledger.unattributed(Filter::default()).await.unwrap();
    let waits = &group(&left.items, "stripe", Why::UnknownCustomer).waited_for[0];
    assert_eq!((waits.kind.as_deref(), waits.id.as_str()), (None, "acme"));
}

fn a_link(id: &str, key: &str) -> NewLink {
    NewLink {
        source: "stripe".to_owned(),
        kind: "customer".to_owned(),
        external_id: id.to_owned(),
        customer_key: key.to_owned(),
        amount: None,
        replace: false,
        move_forwarded: false,
    }
}

/// Everything in the ledger, as text.
fn dump(bench: &Bench) -> Vec<String> {
    if on_postgres() {
        return bench.database().dump();
    }
    let conn = rusqlite::Connection::open(bench.dir.path().join("ledger.db")).unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut tables = conn.prepare(tables).unwrap();
    let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut lines = Vec::new();
    for name in names.map(Result::unwrap) {
        let mut rows = conn.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells = (0..columns).map(|at| format!("{:?}", row.get_ref(at).unwrap()));
            lines.push(format!("{name}: {}", cells.collect::<Vec<_>>().join(" ")));
        }
    }
    lines
}

#[tokio::test]
async fn a_dry_run_says_what_the_link_then_does_and_keeps_nothing() {
    let mut bench = Bench::new();
    for (id, amount, whose) in [
        ("ch_1", 500, "cus_A"),
        ("ch_2", 700, "cus_A"),
        ("ch_3", 100, "cus_B"),
    ] {
        bench.deliver(charge(id, amount, Some(whose))).await;
    }
    bench.deliver(customer("cus_K", "kept", 1)).await;
    bench
        .ledger
        .link(a_link("cus_K", "other"), bench.word())
        .await
        .unwrap();
    let before = dump(&bench);
    let links = vec![
        a_link("cus_A", "acme"),
        a_link("cus_B", "globex"),
        a_link("cus_K", "thief"),
    ];
    let tried = bench.ledger.link_dry_run(links.clone(), bench.word()).await;
    let tried = tried.unwrap();
    assert_eq!(dump(&bench), before);
    assert_eq!((tried.changed, tried.payments.len()), (2, 3));
    assert_eq!(tried.refused.len(), 1);
    assert!(
        tried.refused[0].why.contains("already belongs"),
        "{tried:?}"
    );
    let sums = tried.sums();
    let sum = |key: &str| {
        sums.iter()
            .find(|it| it.customer_key.as_deref() == Some(key))
    };
    let acme = sum("acme").unwrap();
    assert_eq!((acme.before, acme.after), ("unattributed", "due"));
    assert_eq!((acme.payments, acme.net), (2, Some(1200)));
    assert_eq!(sum("globex").unwrap().net, Some(100));

    for link in links {
        let done = bench.ledger.link(link, bench.word()).await;
        assert!(matches!(done, Ok(_) | Err(LedgerError::Refused(_))));
    }
    for moved in &tried.payments {
        let now = bench.payment(&moved.payment_id).await;
        assert_eq!((now.state, now.net), (moved.after, moved.net));
        assert_eq!(now.customer_key, moved.customer_after);
    }
    // A link that stands already would do nothing.
    let again = vec![a_link("cus_A", "acme")];
    let tried = bench
        .ledger
        .link_dry_run(again, bench.word())
        .await
        .unwrap();
    assert_eq!((tried.changed, tried.payments.len()), (0, 0));
}

#[tokio::test]
async fn the_links_of_a_source_are_listed_page_by_page() {
    let mut bench = Bench::with(vec![terms("stripe"), terms("second")]);
    for number in 0..5 {
        let id = format!("cus_{number}");
        bench.deliver(customer(&id, "acme", 1)).await;
        bench.deliver_to("second", customer(&id, "globex", 1)).await;
    }
    bench
        .ledger
        .link(a_link("cus_3", "by hand"), bench.word())
        .await
        .unwrap();
    let mut listed: Vec<(String, Option<String>)> = Vec::new();
    let mut after: Option<LinkPlace> = None;
    loop {
        let (links, next) = bench.ledger.links_of("stripe", after, 2).await.unwrap();
        let lines = links
            .into_iter()
            .map(|it| (it.external_id, it.customer_key));
        listed.extend(lines);
        match next {
            Some(_) => after = next,
            None => break,
        }
    }
    let acme = |id: &str| (id.to_owned(), Some("acme".to_owned()));
    let by_hand = ("cus_3".to_owned(), Some("by hand".to_owned()));
    let expected = [
        acme("cus_0"),
        acme("cus_1"),
        acme("cus_2"),
        by_hand,
        acme("cus_3"),
        acme("cus_4"),
    ];
    assert_eq!(listed, expected);
}

/// More payments than one answer is made of, and than one link folds.
const VERY_MANY: i64 = 2_050;

#[tokio::test]
async fn of_very_many_that_wait_for_one_id_the_rest_is_counted_and_comes_with_the_cursor() {
    let bench = Bench::in_memory(vec![terms("stripe")]);
    // By a file, which is the shortest way into a ledger.
    let readings: Vec<Reading> = (0..VERY_MANY)
        .map(|number| charge_at(&format!("ch_{number:04}"), 100, Some("cus_A"), number))
        .collect();
    rows::import(&bench, &readings).await;
    let first = bench.ledger.unattributed(Filter::default()).await.unwrap();
    let rest = Filter {
        cursor: first.next_cursor,
        ..Filter::default()
    };
    assert!(rest.cursor.is_some(), "these were not all");
    let second = bench.ledger.unattributed(rest).await.unwrap();
    assert_eq!(second.next_cursor, None);
    let counts = [&first, &second].map(|groups| groups.items[0].payments);
    assert_eq!(counts.iter().sum::<u64>(), VERY_MANY.unsigned_abs());
    assert_eq!(first.items[0].newest, at(VERY_MANY - 1).to_string());
    assert_eq!(second.items[0].oldest, at(0).to_string());

    let links = vec![a_link("cus_A", "acme")];
    let tried = bench
        .ledger
        .link_dry_run(links, bench.word())
        .await
        .unwrap();
    let told = i64::try_from(tried.payments.len() + tried.not_looked_at).unwrap();
    assert_eq!(told, VERY_MANY);
    assert!(tried.not_looked_at > 1_000, "{}", tried.not_looked_at);
    assert_eq!(bench.state("ch_0000").await, State::Unattributed);
}

#[tokio::test]
async fn the_command_line_searches_and_tries_links() {
    let folder = crate::binary::Folder::new().await;
    folder.write(
        "old.csv",
        "payment_id,amount,currency,occurred_at,clue.customer\n\
         ch_1,500,USD,2025-06-01T00:00:00Z,cus_A\nch_2,700,USD,2025-06-03T00:00:00Z,cus_A\n\
         ch_3,100,USD,2025-06-02T00:00:00Z,cus_B\n",
    );
    folder.expect(0, &["import", "old.csv", "--source", "stripe"]);
    let found = |args: &[&str]| -> Vec<String> {
        let list = folder.json(&[&["payments"], args].concat());
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|it| it["payment_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(found(&[]), ["ch_2", "ch_3", "ch_1"]);
    assert_eq!(found(&["--search", "cus_A"]), ["ch_2", "ch_1"]);
    assert_eq!(
        found(&["--search", "ch_", "--until", "2025-06-03"]),
        ["ch_3", "ch_1"]
    );
    assert_eq!(found(&["--provider", "chargebee"]), [""; 0]);
    folder.expect(2, &["payments", "--search", &"x".repeat(300)]);

    let link = ["link", "stripe", "customer", "cus_A", "acme"];
    let tried = folder.json(&[&link[..], &["--dry-run"]].concat());
    assert_eq!(
        (&tried["changed"], &tried["payments"]),
        (&1.into(), &2.into())
    );
    assert_eq!(tried["sums"][0]["net"], 1200, "{tried}");
    let shown = folder.expect(0, &[&link[..], &["--dry-run"]].concat());
    assert!(shown.out.contains("12.00 USD"), "{shown:?}");
    assert!(shown.err.contains("nothing was written"), "{shown:?}");
    assert_eq!(found(&["--state", "unattributed"]).len(), 3);

    folder.write(
        "links.csv",
        "kind,external_id,customer_key\ncustomer,cus_A,acme\ncustomer,cus_B,\n\
         customer,cus_A,other\ncustomer,cus_B,globex\n",
    );
    let file = ["link", "stripe", "--csv", "links.csv", "--dry-run"];
    let tried = folder.expect(3, &file);
    assert!(tried.err.contains("already belongs"), "{tried:?}");
    assert!(
        tried.err.contains("2 of the lines would be rejected"),
        "{tried:?}"
    );
    assert!(tried.err.contains("3 payments would be"), "{tried:?}");
    assert_eq!(found(&["--state", "unattributed"]).len(), 3);
    folder.expect(3, &file[..4]);
    assert_eq!(found(&["--state", "due"]).len(), 3);
}
