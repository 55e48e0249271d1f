//! Reading the destination's customers, rewards and partners against the sandbox:
//! who is found by them, what is asked for, and what a fault costs.

use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tributary::circuit::{Alone, Door};
use tributary::destination::{Destination, List, Outcome};
use tributary::ledger::mirror::Extent;
use tributary::mirror::{MirrorError, Mirrored, mirror};
use tributary::sandbox::{Call, Fault, NewCustomer};
use tributary::time::Clock;

use crate::binary::{Folder, client};
use crate::world::*;

async fn try_read(world: &World, extent: Extent) -> Result<Mirrored, MirrorError> {
    let app = &world.service().app;
    let destination = app.destinations().unwrap().remove(0);
    let door = Alone::new(&app.ledger, &destination, &Clock::Machine);
    let door = door.await.unwrap();
    let set = &app.config.destinations["ps"];
    let asked = (extent, set.reward_currency);
    mirror(&app.ledger, &destination, asked, &door).await
}

async fn read(world: &World, extent: Extent) -> Mirrored {
    let done = try_read(world, extent).await.unwrap();
    assert!(done.is_whole(), "{done:?}");
    done
}

/// The calls for lists that the mirror made, as `list?query` without the page's
/// form.
fn asked(world: &World) -> Vec<String> {
    let lists = ["customers", "rewards", "partnerships"];
    let name = |call: &Call| {
        let name = call.path.strip_prefix("/api/v2/")?.to_owned();
        lists.contains(&name.as_str()).then(|| {
            let query = call.query.clone().unwrap_or_default();
            let rest = query.strip_prefix("limit=250&order_by=created_at");
            format!("{name}{}", rest.expect("the page's form").replace('&', " "))
        })
    };
    world.sandbox.requests().iter().filter_map(name).collect()
}

fn fault(text: &str) -> Fault {
    text.parse().unwrap()
}

fn give_provider_key(world: &World, customer: &str, id: Option<&str>) {
    let id = id.map(str::to_owned);
    assert!(
        world
            .sandbox
            .change_customer(customer, |row| row.provider_key = id)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_goes_on_once_its_customer_is_listed_with_its_id() {
    let mut world = World::new().await;
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_A")))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_2", 700, Some("cus_B")))
        .await;
    read(&world, Extent::New).await;
    let waits = world.wait_for("ch_1", "unattributed").await;
    let reason = waits.reason.unwrap();
    assert!(reason.contains("mirror:customer: the destination lists no customer with cus_A"));

    // Two customers with one id are nobody's word.
    give_provider_key(&world, "acme", Some("cus_A"));
    world
        .sandbox
        .add_customer(NewCustomer::of("initech", "northwind"));
    give_provider_key(&world, "globex", Some("cus_B"));
    give_provider_key(&world, "initech", Some("cus_B"));
    let done = read(&world, Extent::New).await;
    assert_eq!(done.payments, 2);
    let found = world.wait_for("ch_1", "settled").await;
    assert_eq!(found.customer_key.as_deref(), Some("acme"));
    assert_eq!(found.partner_key.as_deref(), Some("northwind"));
    let waits = world.payment("ch_2").await;
    assert_eq!(waits.state, "unattributed");
    assert!(
        waits
            .reason
            .unwrap()
            .contains("several customers with cus_B")
    );

    let (_, story) = world
        .api(VIEWER, "GET", "/api/v1/payments/stripe/ch_1", None)
        .await;
    let tried = story["lookup"].as_array().unwrap().last().unwrap();
    assert_eq!(
        tried,
        &json!({"rule": "mirror:customer", "saw": "cus_A", "came_to": {"found": "acme"}})
    );
    assert_eq!(story["partner_key"], json!("northwind"));
    let summary = story["summary"].as_str().unwrap();
    assert!(summary.contains("of the partner northwind"), "{summary}");

    // One of the two lost it.
    give_provider_key(&world, "initech", None);
    read(&world, Extent::New).await;
    let found = world.wait_for("ch_2", "settled").await;
    assert_eq!(found.customer_key.as_deref(), Some("globex"));
    // What comes later finds its customer at once.
    world
        .stripe("charge.succeeded", charge("ch_3", 100, Some("cus_B")))
        .await;
    world.wait_for("ch_3", "settled").await;
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_resolve_and_are_kept_only_where_that_is_allowed() {
    for allowed in [false, true] {
        let mut world = World::with(&format!("resolve_by_email = {allowed}")).await;
        let mut sale = charge("ch_1", 4999, None);
        sale["receipt_email"] = json!("Acme@Example.INVALID");
        world.stripe("charge.succeeded", sale).await;
        read(&world, Extent::New).await;
        let kept = world.number("SELECT count(email) FROM mirrored_customers");
        if allowed {
            assert_eq!(kept, 2);
            let found = world.wait_for("ch_1", "settled").await;
            assert_eq!(found.customer_key.as_deref(), Some("acme"));
        } else {
            assert_eq!(kept, 0);
            assert_eq!(world.payment("ch_1").await.state, "unattributed");
        }
        world.strike().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_the_destination_did_not_know_goes_on_when_it_is_listed() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_N", "newco"))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_N")))
        .await;
    let waits = world.wait_for("ch_1", "unattributed").await;
    assert!(waits.reason.unwrap().contains("does not know the customer"));
    world
        .sandbox
        .add_customer(NewCustomer::of("newco", "northwind"));
    read(&world, Extent::New).await;
    // Long before anybody would ask again.
    world.wait_for("ch_1", "settled").await;
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_not_asked_for_again() {
    let world = World::new().await;
    for number in 0..600 {
        let key = format!("customer-{number:03}");
        world
            .sandbox
            .add_customer(NewCustomer::of(&key, "northwind"));
    }
    let began = Clock::Machine.now().ms();
    let done = read(&world, Extent::New).await;
    assert_eq!(done.lists[&List::Customers].rows, 602);
    assert_eq!(done.lists[&List::Customers].pages, 3);
    let first = asked(&world);
    assert_eq!(first.len(), 5, "{first:?}");
    assert_eq!(first[0], "customers");
    assert!(first[1].starts_with("customers starting_after=cus_"));
    assert_eq!(first[3..], ["rewards", "partnerships"]);

    let again = read(&world, Extent::New).await;
    assert_eq!(again.lists[&List::Customers].changed, 0);
    let second = &asked(&world)[5..];
    // Everything is within the overlap here, so it is what is asked that counts.
    let customers: Vec<_> = second
        .iter()
        .filter(|it| it.starts_with("customers"))
        .collect();
    assert!(
        customers
            .iter()
            .all(|it| it.starts_with("customers min_updated="))
    );
    let rewards: Vec<_> = second
        .iter()
        .filter(|it| it.starts_with("rewards"))
        .collect();
    assert_eq!(rewards.len(), 1);
    let since: i64 = rewards[0]
        .strip_prefix("rewards min_created=")
        .unwrap()
        .parse()
        .unwrap();
    let overlap = tributary::ledger::mirror::OVERLAP_MS;
    assert!((began - overlap..=Clock::Machine.now().ms() - overlap).contains(&since));
    assert!(!second.iter().any(|it| it.starts_with("partnerships")));

    // Somebody whom nobody named before is looked up.
    world.sandbox.add_named_partner("sam", "Sam", "Solo");
    world
        .sandbox
        .add_customer(NewCustomer::of("customer-new", "sam"));
    let before = asked(&world).len();
    let third = read(&world, Extent::New).await;
    assert_eq!(third.lists[&List::Customers].changed, 1);
    assert_eq!(third.lists[&List::Partners].changed, 1);
    assert_eq!(asked(&world).last().unwrap(), "partnerships");
    assert!(asked(&world).len() > before);
    world.strike().await;
}

/// A door that lets a few calls through and then none.
struct Few<'a> {
    destination: &'a Destination,
    left: std::sync::atomic::AtomicU32,
}

impl Door for Few<'_> {
    async fn open(&self) -> Option<OwnedSemaphorePermit> {
        use std::sync::atomic::Ordering::SeqCst;
        if self.left.load(SeqCst) == 0 {
            return None;
        }
        self.left.fetch_sub(1, SeqCst);
        Some(self.destination.slot().await)
    }

    async fn heard(&self, _: &Outcome) {}

    fn due(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_was_cut_off_goes_on_at_its_page() {
    let mut world = World::new().await;
    for number in 0..600 {
        let key = format!("customer-{number:03}");
        world
            .sandbox
            .add_customer(NewCustomer::of(&key, "northwind"));
    }
    {
        let app = &world.service().app;
        let destination = app.destinations().unwrap().remove(0);
        let door = Few {
            destination: &destination,
            left: 2.into(),
        };
        let done = mirror(&app.ledger, &destination, (Extent::New, None), &door).await;
        assert!(done.unwrap().stopped);
        assert_eq!(asked(&world).len(), 2);
        let figures = app.ledger.mirror_figures("ps").await.unwrap();
        assert!(figures.under_way && figures.read_at.is_none());
    }
    world.restart().await;
    let done = read(&world, Extent::New).await;
    assert_eq!(done.lists[&List::Customers].rows, 102);
    let all = asked(&world);
    assert_eq!(all.len(), 5, "{all:?}");
    assert!(all[2].starts_with("customers starting_after="), "{all:?}");
    let figures = world.service().app.ledger.mirror_figures("ps").await;
    assert!(figures.unwrap().read_at.is_some());
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_refuses_the_place_is_begun_afresh() {
    let world = World::new().await;
    for number in 0..300 {
        let key = format!("customer-{number:03}");
        world
            .sandbox
            .add_customer(NewCustomer::of(&key, "northwind"));
    }
    let app = &world.service().app;
    let destination = app.destinations().unwrap().remove(0);
    let door = Few {
        destination: &destination,
        left: 1.into(),
    };
    let done = mirror(&app.ledger, &destination, (Extent::New, None), &door).await;
    assert!(done.unwrap().stopped);
    // The row at which the next page was to begin is gone.
    world.sandbox.reset();
    world.sandbox.add_partner("northwind");
    world
        .sandbox
        .add_customer(NewCustomer::of("acme", "northwind"));
    let done = try_read(&world, Extent::New).await.unwrap();
    assert!(!done.is_whole());
    let why = done.lists[&List::Customers].refused.clone().unwrap();
    assert!(why.starts_with("400: "), "{why}");
    assert_eq!(done.lists[&List::Partners].rows, 2, "the others are read");
    let done = read(&world, Extent::New).await;
    assert_eq!(done.lists[&List::Customers].rows, 1);
    // One is another under a key of before, and the rest of the first page is gone.
    assert_eq!(done.lists[&List::Customers].changed, 250);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_cost_calls_and_no_row() {
    for kind in [
        "500-after@GET=next:3",
        "drop-after@GET=next:3",
        "html-after@GET=next:2",
        "empty@GET=next:2",
        "429:1@GET=next:1",
    ] {
        let world = World::new().await;
        world.sandbox.set_faults(vec![fault(kind)]);
        let began = Clock::Machine.now();
        let done = read(&world, Extent::New).await;
        assert_eq!(done.lists[&List::Customers].rows, 2, "{kind}");
        assert_eq!(done.lists[&List::Partners].rows, 2, "{kind}");
        if kind.starts_with("429") {
            // Nobody is called before the time that the destination asked for.
            assert!(Clock::Machine.now().since(began) >= 900);
            let calls = asked(&world).len();
            assert_eq!(calls, 4, "one was turned away");
        }
        world.strike().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_end_it_and_what_was_read_is_kept() {
    let world = World::new().await;
    read(&world, Extent::New).await;
    world
        .sandbox
        .set_faults(vec![fault("unauthorized@GET=100%")]);
    let before = asked(&world).len();
    let error = try_read(&world, Extent::All).await.unwrap_err().to_string();
    assert!(error.contains("customers"), "{error}");
    assert!(error.contains("wrong credentials"), "{error}");
    assert_eq!(asked(&world).len(), before + 1, "it is asked once");
    // A pause that outlasts patience is told and is no failure of the list.
    world.sandbox.set_faults(vec![fault("429:600@GET=next:1")]);
    let stopped = try_read(&world, Extent::New).await.unwrap();
    assert!(stopped.stopped);
    let overview = world.service().app.ledger.overview().await.unwrap();
    assert!(overview.destinations[0].paused_until.is_some());
    world.strike().await;
}

/// Totals of a report by what it is by.
async fn commission(world: &World, by: &str) -> Value {
    let path = format!("/api/v1/report?by={by}");
    world.api(OPERATOR, "GET", &path, None).await.1
}

/// What the sandbox's rewards that count come to, by currency.
fn earned(world: &World, partner: Option<&str>) -> i64 {
    let rewards = world.sandbox.rewards();
    let counting = rewards.iter().filter(|it| {
        !it.archived && it.status != "declined" && partner.is_none_or(|key| key == it.partner_key)
    });
    counting.map(|it| it.amount).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn commission_is_what_the_rewards_come_to_in_every_grouping() {
    let mut world = World::new().await;
    world
        .sandbox
        .adjust(|set| set.commissions.extend([("sam".to_owned(), 25)]));
    world.sandbox.add_named_partner("sam", "Sam", "Solo");
    world
        .sandbox
        .add_customer(NewCustomer::of("stark-labs", "sam"));
    let linked = [
        ("cus_A", "acme"),
        ("cus_G", "globex"),
        ("cus_S", "stark-labs"),
    ];
    for (id, key) in linked {
        world.stripe("customer.created", customer(id, key)).await;
    }
    for (id, amount, whose) in [
        ("ch_1", 4999, "cus_A"),
        ("ch_2", 3000, "cus_G"),
        ("ch_3", 2000, "cus_S"),
        ("ch_4", 800, "cus_S"),
    ] {
        world
            .stripe("charge.succeeded", charge(id, amount, Some(whose)))
            .await;
        world.wait_for(id, "settled").await;
    }
    let before = commission(&world, "month").await;
    assert_eq!(before["totals"][0]["commission"], Value::Null);
    world
        .stripe("refund.created", refund("re_1", "ch_1", 1000))
        .await;
    world
        .stripe("refund.created", refund("re_2", "ch_2", 3000))
        .await;
    world.wait_for("ch_1", "settled").await;
    world.wait_for("ch_2", "settled").await;
    read(&world, Extent::New).await;

    // 500 less 100, 300 that was archived with its sale, 25 % of 2800.
    assert_eq!(earned(&world, None), 400 + 700);
    for by in ["partner", "customer", "source", "day", "month"] {
        let report = commission(&world, by).await;
        assert_eq!(report["totals"][0]["commission"], json!(1100), "{by}");
        let lines = report["items"].as_array().unwrap();
        let sum: i64 = lines
            .iter()
            .map(|it| it["commission"].as_i64().unwrap())
            .sum();
        assert_eq!(sum, 1100, "{by}: {report}");
        let tokyo = commission(&world, &format!("{by}&zone=Asia/Tokyo")).await;
        assert_eq!(tokyo["totals"][0]["commission"], json!(1100), "{by}");
    }
    let by_partner = commission(&world, "partner").await;
    let sam = by_partner["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["partner_key"] == json!("sam"))
        .unwrap();
    assert_eq!(
        (&sam["partner_name"], &sam["net"], &sam["commission"]),
        (&json!("Sam Solo"), &json!(2800), &json!(700))
    );
    let (_, summary) = world.api(VIEWER, "GET", "/api/v1/summary", None).await;
    assert_eq!(summary["currencies"][0]["commission"], json!(1100));
    let told = &summary["destinations"][0]["mirror"];
    assert!(told["read_at"].is_string() && told["full_read_at"].is_string());
    assert_eq!(told["rewards_without_currency"], json!(0));

    // Money stays what it was, and a status shows once all is read.
    let positions = world.api(OPERATOR, "GET", "/api/v1/payments", None).await.1;
    let reward = world.sandbox.rewards().last().unwrap().clone();
    let partner = (reward.partner_key.clone(), reward.key.clone());
    world.sandbox.review_reward(&partner.1, "declined");
    // A customer that goes over to another partner takes its sales along, and not
    // what the first one earned.
    let moved = |row: &mut tributary::sandbox::Customer| row.partner_key = "sam".to_owned();
    world.sandbox.change_customer("acme", moved);
    read(&world, Extent::All).await;
    let by_partner = commission(&world, "partner").await;
    let lines = by_partner["items"].as_array().unwrap();
    for key in ["sam", "northwind"] {
        let line = lines
            .iter()
            .find(|it| it["partner_key"] == json!(key))
            .unwrap();
        let there = earned(&world, Some(key));
        assert_eq!(line["commission"], json!(there), "{key}: {line}");
    }
    let sam = lines
        .iter()
        .find(|it| it["partner_key"] == json!("sam"))
        .unwrap();
    assert_eq!(sam["net"], json!(2800 + 3999));
    let mut after = world.api(OPERATOR, "GET", "/api/v1/payments", None).await.1;
    for (is, was) in after["items"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip(positions["items"].as_array().unwrap())
    {
        is["partner_key"] = was["partner_key"].clone();
        assert_eq!(is, was);
    }
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_reads_by_itself_and_a_restart_does_not_ask_again() {
    let mut world = World::with("mirror_every_minutes = 60").await;
    for _ in 0..500 {
        let figures = world.service().app.ledger.mirror_figures("ps").await;
        if figures.unwrap().read_at.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let first = asked(&world);
    assert_eq!(first, ["customers", "rewards", "partnerships"]);
    let (_, metrics) = world.api(OPERATOR, "GET", "/api/v1/summary", None).await;
    assert!(metrics["destinations"][0]["mirror"]["age_seconds"].is_i64());
    world.restart().await;
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_A")))
        .await;
    world.wait_for("ch_1", "settled").await;
    let paid = world.payment("ch_1").await;
    assert_eq!(paid.partner_key.as_deref(), Some("northwind"));
    assert_eq!(asked(&world).len(), 3, "{:?}", asked(&world));
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_reads_tells_and_fails_where_there_are_no_lists() {
    let folder = Folder::new().await;
    let offline = folder.expect(0, &["check", "--offline"]);
    assert!(offline.err.contains("never read to the end"), "{offline:?}");
    let running = folder.serve().await;
    for (id, kind, object) in [
        ("evt_1", "customer.created", customer("cus_A", "acme")),
        (
            "evt_2",
            "charge.succeeded",
            charge("ch_1", 4999, Some("cus_A")),
        ),
    ] {
        let event = event(id, kind, object);
        running.deliver(&client(), SECRET, &event).await.unwrap();
    }
    folder.wait_for("ch_1", "settled").await;
    let ran = folder.expect(0, &["mirror"]);
    assert!(ran.err.contains("listed 1 rewards"), "{ran:?}");
    let metrics = client().get(format!("{}/metrics", running.admin));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("tributary_mirror_age_seconds{destination=\"ps\"}"),
        "{metrics}"
    );
    let told = folder.json(&["mirror", "--full"]);
    assert_eq!(told["complete"], json!(true));
    let read = &told["destinations"][0]["read"];
    assert_eq!(read["customers"]["rows"], json!(2), "{told}");
    assert_eq!(read["customers"]["changed"], json!(0), "{told}");
    let table = folder.expect(0, &["report", "--by", "partner"]).out;
    assert!(
        table.contains("5.00 USD") && table.contains("northwind"),
        "{table}"
    );
    let story = folder.expect(0, &["explain", "stripe", "ch_1"]).out;
    assert!(story.contains("acme of the partner northwind"), "{story}");
    let offline = folder.expect(0, &["check", "--offline"]);
    assert!(offline.err.contains("were last read at"), "{offline:?}");
    drop(running);

    let text = folder.config();
    let without = text.replace(
        "timeout_seconds = 1",
        "timeout_seconds = 1\nv2_available = false",
    );
    folder.write("tributary.toml", &without);
    let ran = folder.expect(1, &["mirror"]);
    assert!(ran.err.contains("without v2 it has no lists"), "{ran:?}");
    let with_rule = text.replace(
        "secrets = [{ file = \"hook\" }]",
        "secrets = [{ file = \"hook\" }]\ncustomer_key = [\"mirror:email\"]",
    );
    folder.write("tributary.toml", &with_rule);
    let ran = folder.expect(2, &["payments"]);
    assert!(ran.err.contains("resolve_by_email"), "{ran:?}");
}
