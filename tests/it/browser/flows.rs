//! What people do on the page, in the browser and with its script.

use super::Browser;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_by_the_form_or_by_an_address() {
    let world = World::new().await;
    let mut browser = Browser::before(&world).await;
    browser.open("/payments?state=held").await;
    assert_eq!(
        browser.place().await,
        "/sign-in?next=%2Fpayments%3Fstate%3Dheld"
    );
    browser.write("Token", "guess").await;
    browser.press("Sign in").await;
    browser.sees("That token is not known here.").await;
    browser.expects("status of 401");
    browser.sign_in(OPERATOR).await;
    assert_eq!(browser.place().await, "/payments?state=held");
    browser.sees("operator").await;
    browser.press("Sign out").await;
    browser.field("Token").await;
    browser.open("/report").await;
    assert_eq!(browser.place().await, "/sign-in?next=%2Freport");
    // What the demo prints: the token stays behind the # and is gone afterwards.
    browser.open(&format!("/sign-in#token={VIEWER}")).await;
    browser.sees("No money in these days").await;
    assert_eq!(browser.place().await, "/");
    browser.driver().back().await;
    assert!(!browser.place().await.contains(VIEWER));
    browser.close().await;
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_found_read_and_linked_until_it_settles() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_K", "acme"))
        .await;
    for (id, amount, whose, state) in [
        ("ch_known", 4999, "cus_K", "settled"),
        ("ch_open", 123_456, "cus_A", "unattributed"),
        ("ch_other", 700, "cus_B", "unattributed"),
    ] {
        world
            .stripe("charge.succeeded", charge(id, amount, Some(whose)))
            .await;
        world.wait_for(id, state).await;
    }
    let browser = Browser::signed_in(&world, OPERATOR).await;
    browser.press("Payments").await;
    browser.write("Id or customer begins with", "ch_kn").await;
    browser.press("Find").await;
    browser.sees_no("ch_open").await;
    browser.sees("ch_known").await;
    browser.press("Clear").await;
    browser.sees("ch_open").await;
    // A choice of a list is enough: nobody presses a button.
    browser.choose("State", "unattributed").await;
    browser.sees_no("ch_known").await;
    browser.press("ch_open").await;
    let story = browser.sees("cus_A is not linked to a customer yet").await;
    assert!(
        story.contains("What happened") && story.contains("1,234.56 USD"),
        "{story}"
    );
    // While the destination takes nothing, the payment is on its way; the page
    // follows it by itself until it is there.
    let full = vec!["429:1@POST=100%".parse().unwrap()];
    world.sandbox.set_faults(full);
    browser.write("The customer cus_A belongs to", "acme").await;
    browser.press("Link").await;
    browser.sees("The link is saved").await;
    browser.find("//main//*[@class='tag due']").await;
    assert_eq!(world.held("ch_open"), 0);
    world.sandbox.set_faults(Vec::new());
    browser.sees("posted 1234.56 USD").await;
    browser.find("//main//*[@class='tag settled']").await;
    assert_eq!(world.held("ch_open"), 123_456);
    links_are_tried_before_they_are_saved(&world, &browser).await;
    browser.close().await;
    world.strike().await;
}

/// The other payment, from the list of what waits.
async fn links_are_tried_before_they_are_saved(world: &World, browser: &Browser) {
    browser.press("Unattributed").await;
    browser.sees("An id is not linked to a customer yet").await;
    browser
        .write("Customer key of customer cus_B", "globex")
        .await;
    browser.press("What would it do?").await;
    let tried = browser.sees("1 payment would be looked at again").await;
    assert!(
        tried.contains("7.00 USD") && tried.contains("globex"),
        "{tried}"
    );
    assert_eq!(world.payment("ch_other").await.state, "unattributed");
    browser.press("Save").await;
    browser.sees("Every payment has its customer").await;
    world.wait_for("ch_other", "settled").await;
    browser.open("/payments/stripe/ch_other").await;
    browser.sees("posted 7.00 USD").await;
    assert_eq!(world.held("ch_other"), 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_decide_on_a_payments_own_page() {
    let mut world = World::new().await;
    for (customer_id, key) in [("cus_A", "acme"), ("cus_N", "newcomer")] {
        world
            .stripe("customer.created", customer(customer_id, key))
            .await;
    }
    for (id, whose) in [
        ("ch_held", "cus_A"),
        ("ch_new", "cus_N"),
        ("ch_skip", "cus_S"),
    ] {
        world
            .stripe("charge.succeeded", charge(id, 5000, Some(whose)))
            .await;
    }
    world.wait_for("ch_held", "settled").await;
    let mut odd = refund("re_1", "ch_held", 700);
    odd["currency"] = "eur".into();
    world.stripe("refund.created", odd).await;
    world.wait_for("ch_held", "held").await;
    world.wait_for("ch_new", "unattributed").await;
    let mut browser = Browser::signed_in(&world, OPERATOR).await;

    browser.open("/payments/stripe/ch_new").await;
    browser.sees("newcomer").await;
    world
        .sandbox
        .add_customer(tributary::sandbox::NewCustomer::of("newcomer", "northwind"));
    browser.press("Retry").await;
    browser.sees("posted 50.00 USD").await;
    assert_eq!(world.held("ch_new"), 5000);

    browser.open("/payments/stripe/ch_skip").await;
    browser
        .write("Forward nothing, because", "a test order")
        .await;
    browser.press("Skip").await;
    browser
        .sees("It is skipped: nothing is forwarded for it.")
        .await;
    browser.sees("a test order").await;
    assert_eq!(world.payment("ch_skip").await.state, "ignored");

    browser.open("/payments?state=held").await;
    browser.press("ch_held").await;
    let story = browser.sees("EUR").await;
    assert!(story.contains("Release as it is"), "{story}");
    // Skipped it cannot be, because the destination holds some of it.
    browser.write("Forward nothing, because", "not so").await;
    browser.press("Skip").await;
    browser.sees("Not done:").await;
    browser.expects("status of 409");
    browser.press("Release as it is").await;
    browser.sees("It is released.").await;
    browser.find("//main//*[@class='tag settled']").await;
    // What is told before is what is done: the figure of the other currency counts.
    assert!(story.contains("is net 43.00 USD"), "{story}");
    assert_eq!(world.held("ch_held"), 4300);
    browser.close().await;
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_tried_and_then_sent() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, OPERATOR).await;
    let file = browser.keeps(
        "old.csv",
        "payment_id,customer_key,amount,currency,occurred_at\n\
         old_1,acme,4999,USD,2026-05-01\nold_2,acme,x,USD,2026-05-01\n",
    );
    let file = file.display().to_string();
    browser.press("Imports").await;
    browser.sees("No file was sent yet.").await;
    browser.chooses_file(&file).await;
    browser.sees("old.csv").await;
    browser.press("Send").await;
    let tried = browser
        .sees("This was a dry run: nothing was recorded.")
        .await;
    assert!(
        tried.contains("line 3") && tried.contains("49.99 USD"),
        "{tried}"
    );
    browser.open("/payments?q=old_1").await;
    browser.sees("No payment is like that").await;

    browser.press("Imports").await;
    browser.chooses_file(&file).await;
    browser.field("Only try it").await.click().await;
    browser.press("Send").await;
    // The page of a file under way follows it by itself.
    let done = browser.sees("Report of every row").await;
    assert!(
        done.contains("changed") && !done.contains("dry run"),
        "{done}"
    );
    browser.press("Report of every row").await;
    let report = browser.downloaded(".csv").await;
    assert!(report.contains("rejected"), "{report}");
    world.wait_for("old_1", "settled").await;
    browser.open("/payments?q=old_1").await;
    browser.press("old_1").await;
    browser.sees("posted 49.99 USD").await;
    assert_eq!(world.held("old_1"), 4999);
    browser.press("Imports").await;
    let list = browser.sees("recorded").await;
    assert!(list.contains("dry run"), "{list}");
    browser.close().await;
    world.strike().await;
}

/// Time that a page has stood, in milliseconds by its own clock: twice as long as a
/// page that follows a payment waits, and more.
const STOOD_MS: u32 = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_follows_interrupts_nobody_and_sends_nothing_twice() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    world
        .stripe("charge.succeeded", charge("ch_1", 5000, Some("cus_A")))
        .await;
    world.wait_for("ch_1", "settled").await;
    world
        .sandbox
        .set_faults(vec!["429:1@POST=100%".parse().unwrap()]);
    world
        .stripe("refund.created", refund("re_1", "ch_1", 700))
        .await;
    world.wait_for("ch_1", "due").await;
    let mut browser = Browser::signed_in(&world, OPERATOR).await;
    browser.open("/payments/stripe/ch_1").await;
    browser.find("//*[@data-again-seconds]").await;
    let label = "Forward nothing, because";
    browser.write(label, "wait for").await;
    browser.stands_for(STOOD_MS).await;
    browser.field(label).await.write(" it").await;
    let written = browser.asks("return document.querySelector('[name=reason]').value");
    assert_eq!(written.await, "wait for it");
    // The destination holds some of it, so this is refused, once.
    browser.press("Skip").await;
    browser.sees("Not done:").await;
    browser.stands_for(STOOD_MS).await;
    browser.expects("status of 409");
    world.sandbox.set_faults(Vec::new());
    assert_eq!(world.wait_for("ch_1", "settled").await.forwarded, 4300);
    browser.close().await;
    world.strike().await;
}
