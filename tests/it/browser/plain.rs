//! The same page without its script, and for those who may only read or link.

use serde_json::json;

use super::Browser;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_done_without_a_script() {
    let mut world = World::new().await;
    for (id, whose) in [("ch_one", "cus_A"), ("ch_two", "cus_B")] {
        world
            .stripe("charge.succeeded", charge(id, 4999, Some(whose)))
            .await;
        world.wait_for(id, "unattributed").await;
    }
    let browser = Browser::before(&world).await;
    browser.without_script().await;
    // With a script this alone would sign in: it proves that there is none.
    browser.open(&format!("/sign-in#token={OPERATOR}")).await;
    browser.sign_in(OPERATOR).await;

    browser.press("Payments").await;
    browser.write("Id or customer begins with", "ch_o").await;
    browser.choose("State", "unattributed").await;
    browser.press("Find").await;
    browser.sees_no("ch_two").await;
    browser.press("ch_one").await;
    browser.sees("cus_A is not linked to a customer yet").await;
    browser.write("The customer cus_A belongs to", "acme").await;
    browser.press("Link").await;
    browser.sees("The link is saved").await;
    world.wait_for("ch_one", "settled").await;
    browser.open("/payments/stripe/ch_one").await;
    browser.sees("posted 49.99 USD").await;

    browser.press("Unattributed").await;
    browser
        .write("Customer key of customer cus_B", "globex")
        .await;
    browser.press("What would it do?").await;
    browser.sees("1 payment would be looked at again").await;
    browser.press("Save").await;
    browser.sees("Every payment has its customer").await;
    world.wait_for("ch_two", "settled").await;
    assert_eq!((world.held("ch_one"), world.held("ch_two")), (4999, 4999));
    browser.open("/").await;
    browser.find("//figure//*[name()='svg']").await;
    browser.press("Sign out").await;
    browser.field("Token").await;
    browser.close().await;
    world.strike().await;
}

/// What nobody but an operator may read in full.
const ADDRESS: &str = "ann.buyer@customer.example";

/// Every part of the page that can be reached, and one payment.
async fn parts(browser: &Browser) -> Vec<String> {
    let found = browser
        .asks("return [...document.querySelectorAll('header nav a')].map(a => a.getAttribute('href'))")
        .await;
    let places = found.as_array().unwrap().iter();
    let mut places: Vec<String> = places.map(|it| it.as_str().unwrap().to_owned()).collect();
    places.extend([
        "/payments/stripe/ch_mail".to_owned(),
        "/payments/stripe/old_1".to_owned(),
    ]);
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reads_no_address_and_a_linker_links() {
    let mut world = World::new().await;
    let mut sold = charge("ch_mail", 4999, None);
    sold["receipt_email"] = json!(ADDRESS);
    world.stripe("charge.succeeded", sold).await;
    world.wait_for("ch_mail", "unattributed").await;
    world
        .stripe("charge.succeeded", charge("ch_1", 700, Some("cus_A")))
        .await;
    world
        .imports(&format!(
            "payment_id,customer_key,amount,currency,occurred_at\n\
             old_1,{ADDRESS},4999,USD,2026-05-01\nold_2,{ADDRESS},x,USD,2026-05-01\n"
        ))
        .await;
    world.wait_for("old_1", "unattributed").await;
    let viewer = Browser::signed_in(&world, VIEWER).await;
    let operator = Browser::signed_in(&world, OPERATOR).await;
    let mut in_full = 0;
    for place in parts(&viewer).await {
        viewer.open(&place).await;
        let source = viewer.driver().source().await;
        for secret in [ADDRESS, SECRET, OPERATOR, "sk_live_1_secret"] {
            assert!(!source.contains(secret), "{place} shows {secret}");
        }
        assert!(
            !viewer
                .has("//form[@method='post'][not(@action='/sign-out')]")
                .await,
            "{place} has a form for a viewer"
        );
        operator.open(&place).await;
        let source = operator.driver().source().await;
        in_full += usize::from(source.contains(ADDRESS));
        assert!(
            !source.contains(SECRET) && !source.contains("sk_live_1_secret"),
            "{place}"
        );
    }
    assert!(
        in_full > 1,
        "nobody was shown the address, so hiding it proves nothing"
    );
    operator.close().await;
    viewer.close().await;

    let linker = Browser::before(&world).await;
    linker.open("/payments").await;
    linker.sign_in(LINKER).await;
    assert_eq!(linker.place().await, "/links");
    let menu = "return [...document.querySelectorAll('header nav a')].map(a => a.textContent)";
    assert_eq!(linker.asks(menu).await, json!(["Links"]));
    linker.open("/payments/stripe/ch_1").await;
    assert_eq!(linker.place().await, "/links");
    linker.write("Kind of id", "customer").await;
    linker.write("Id at the provider", "cus_A").await;
    linker.write("Customer key", "acme").await;
    linker.press("Save").await;
    linker.sees("1 payment was looked at again").await;
    assert_eq!(world.wait_for("ch_1", "settled").await.forwarded, 700);
    linker.close().await;
    world.strike().await;
}
