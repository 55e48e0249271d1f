//! How the page stands: on a phone and on a wide screen, light and dark, by
//! keyboard and for a screen reader. Pictures of all of it are left in `screens` of
//! the folder for temporary files, for a person to look at; what they show is
//! judged by nobody here. Contrast is not looked at.

use std::fmt::Write as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tributary::time::Time;

use super::Browser;
use super::driver::{ENTER, TAB};
use crate::world::*;

/// Widths in pixels: a phone, and a wide screen; and how high each is.
const SCREENS: [(u32, u32); 2] = [(390, 844), (1440, 900)];
/// A day in seconds.
const DAY_S: i64 = 86_400;
/// Every part of the menu.
const MENU: &str = "return [...document.querySelectorAll('header nav a')]
    .map(a => [a.textContent, a.getAttribute('href')])";
/// What is wrong with a page, whatever it says.
const FAULTS: &str = "
const wrong = [];
const h1 = document.querySelectorAll('h1').length;
if (h1 !== 1) wrong.push(h1 + ' h1');
if (document.documentElement.lang !== 'en') wrong.push('no lang');
if (!document.title.trim()) wrong.push('no title');
for (const field of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
  const name = field.getAttribute('aria-label') || [...field.labels].map(l => l.textContent).join('');
  if (!name.trim()) wrong.push('no label: ' + field.outerHTML);
}
for (const one of document.querySelectorAll('button, a[href], summary')) {
  if (!(one.getAttribute('aria-label') || one.textContent).trim()) wrong.push('no name: ' + one.outerHTML);
}
const ids = [...document.querySelectorAll('[id]')].map(one => one.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push('twice: #' + id);
for (const one of document.querySelectorAll('[aria-labelledby]')) {
  if (!document.getElementById(one.getAttribute('aria-labelledby'))) wrong.push('labelled by nothing: ' + one.outerHTML.slice(0, 99));
}
for (const one of document.querySelectorAll('table')) {
  if (!one.querySelector('th[scope=col]')) wrong.push('a table without heads');
}
if (document.documentElement.scrollWidth > innerWidth) {
  wrong.push(document.documentElement.scrollWidth + ' pixels wide on ' + innerWidth);
  for (const one of document.querySelectorAll('main *, header *')) {
    const right = Math.round(one.getBoundingClientRect().right);
    if (right > innerWidth) wrong.push(right + ': ' + one.outerHTML.slice(0, 80));
  }
}
return wrong;";

/// Three months of sales of some customers, two currencies, and what is odd.
async fn filled() -> World {
    let mut world = World::with("mirror_every_minutes = 1").await;
    let mut rows =
        String::from("payment_id,kind,reversal_id,customer_key,amount,currency,occurred_at\n");
    let today = now_s();
    for n in 0..120_i64 {
        let at = Time::from_seconds(today - n * 3 / 4 * DAY_S).unwrap();
        let (customer, currency) = match n % 7 {
            0 | 3 => ("globex", "USD"),
            5 => ("acme", "EUR"),
            6 => ("", "USD"),
            _ => ("acme", "USD"),
        };
        let amount = 1_900 + n * 7_919 % 48_000;
        writeln!(rows, "in_{n:03},,,{customer},{amount},{currency},{at}").unwrap();
        if n % 9 == 4 {
            let back = amount / 3;
            writeln!(rows, "in_{n:03},refund,re_{n:03},,{back},{currency},{at}").unwrap();
        }
    }
    rows.push_str("in_wrong,,,acme,x,USD,2026-05-01\n");
    world.imports(&rows).await;
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    let long = format!("ch_{}", "3PqWx".repeat(12));
    for (id, whose) in [
        (long.as_str(), "cus_long_without_a_customer"),
        ("ch_held", "cus_A"),
    ] {
        world
            .stripe("charge.succeeded", charge(id, 123_456_789, Some(whose)))
            .await;
    }
    world.wait_for(&long, "unattributed").await;
    world.wait_for("ch_held", "settled").await;
    let mut odd = refund("re_1", "ch_held", 700);
    odd["currency"] = "eur".into();
    world.stripe("refund.created", odd).await;
    world.wait_for("ch_held", "held").await;
    world.wait_for("in_119", "settled").await;
    world.wait_for("in_001", "settled").await;
    world
}

fn screens() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screens");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

async fn picture(browser: &Browser, name: &str) {
    let whole = json!({"format": "png", "captureBeyondViewport": true});
    let taken = browser.tells("Page.captureScreenshot", whole).await;
    let bytes = BASE64_STANDARD.decode(taken["data"].as_str().unwrap());
    std::fs::write(screens().join(format!("{name}.png")), bytes.unwrap()).unwrap();
}

/// Looks at one part at every width, light and dark, and says what is wrong.
async fn looked_at(browser: &Browser, name: &str, place: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (width, height) in SCREENS {
        browser.size(width, height).await;
        browser.open(place).await;
        assert_eq!(browser.asks("return innerWidth").await, json!(width));
        let found = browser.asks(FAULTS).await;
        for fault in found.as_array().unwrap() {
            wrong.push(format!("{name} at {width}: {}", fault.as_str().unwrap()));
        }
        for scheme in ["light", "dark"] {
            let scheme_of = json!({"features": [
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ]});
            browser.tells("Emulation.setEmulatedMedia", scheme_of).await;
            let dark = "return matchMedia('(prefers-color-scheme: dark)').matches";
            assert_eq!(browser.asks(dark).await, json!(scheme == "dark"));
            picture(browser, &format!("{name}-{width}-{scheme}")).await;
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_fits_a_phone_and_a_wide_screen() {
    let world = filled().await;
    let mut browser = Browser::before(&world).await;
    let mut wrong = looked_at(&browser, "sign-in", "/sign-in").await;
    browser.open("/sign-in").await;
    browser.sign_in(OPERATOR).await;
    let menu: Vec<(String, String)> = serde_json::from_value(browser.asks(MENU).await).unwrap();
    assert!(menu.len() > 7, "{menu:?}");
    for (name, place) in &menu {
        wrong.extend(looked_at(&browser, &name.to_lowercase(), place).await);
    }
    let long = format!("/payments/stripe/ch_{}", "3PqWx".repeat(12));
    for (name, place) in [
        ("payment-long", long.as_str()),
        ("payment-held", "/payments/stripe/ch_held"),
        ("payment-settled", "/payments/stripe/in_004"),
        ("import", "/imports/1"),
        ("payments-found", "/payments?state=unattributed&q=in"),
        ("overview-year", "/?range=365d&zone=Asia/Tokyo"),
        ("report-customer", "/report?by=customer&range=all"),
    ] {
        wrong.extend(looked_at(&browser, name, place).await);
    }
    wrong.extend(looked_at(&browser, "not-found", "/payments/stripe/none").await);
    for _ in SCREENS {
        browser.expects("status of 404");
    }
    assert_eq!(wrong, Vec::<String>::new());
    browser.close().await;
    world.strike().await;
}

/// What has the focus, as a person would name it, and whether it can be seen.
const FOCUSED: &str = "
const at = document.activeElement;
if (!at || at === document.body) return null;
const label = at.getAttribute('aria-label') || (at.labels && [...at.labels].flatMap(l => [...l.childNodes]).filter(n => n.nodeType === Node.TEXT_NODE).map(n => n.data).join(' ')) || at.textContent;
return [label.trim(), getComputedStyle(at).outlineStyle !== 'none' && at.getBoundingClientRect().right > 0];";

/// Where the Tab key begins is the top, wherever the pointer was when the page came.
const FROM_THE_TOP: &str = "
document.body.tabIndex = -1;
document.body.focus();
document.body.removeAttribute('tabindex');
return null;";

async fn open_at_the_top(browser: &Browser, place: &str) {
    browser.open(place).await;
    browser.asks(FROM_THE_TOP).await;
}

/// More steps of the Tab key than any page here takes.
const STEPS: usize = 80;

/// The names of everything that the Tab key comes to, from the top.
async fn by_keyboard(browser: &Browser, place: &str) -> Vec<String> {
    open_at_the_top(browser, place).await;
    let mut names = Vec::new();
    for _ in 0..STEPS {
        browser.driver().types(TAB).await;
        let found = browser.asks(FOCUSED).await;
        if found == Value::Null {
            break;
        }
        let (name, seen): (String, bool) = serde_json::from_value(found).unwrap();
        assert!(seen, "{name} on {place} has the focus and nobody sees it");
        names.push(name);
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_everything_in_order() {
    let mut world = World::new().await;
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_A")))
        .await;
    world.wait_for("ch_1", "unattributed").await;
    let browser = Browser::signed_in(&world, OPERATOR).await;
    for (place, fields) in [
        ("/", vec!["7 days", "Other days or zone"]),
        (
            "/payments",
            vec!["Id or customer begins with", "State", "Find", "ch_1"],
        ),
        (
            "/unattributed",
            vec![
                "Customer key of customer cus_A",
                "What would it do?",
                "Rules that were tried",
            ],
        ),
        (
            "/payments/stripe/ch_1",
            vec!["Link", "Retry", "Release to them", "Skip"],
        ),
        (
            "/imports",
            vec![
                "Source",
                "Only try it: nothing is recorded",
                "A CSV file",
                "Send",
            ],
        ),
        (
            "/report",
            vec!["7 days", "Other days or zone", "CSV", "JSON"],
        ),
    ] {
        let names = by_keyboard(&browser, place).await;
        assert_eq!(
            names.first().map(String::as_str),
            Some("Skip to the content")
        );
        let mut rest = names.iter();
        let order = [
            "Tributary",
            "Overview",
            "Payments",
            "Report",
            "Links",
            "Sign out",
        ];
        for wanted in order.iter().chain(&fields) {
            assert!(
                rest.any(|name| name.starts_with(wanted)),
                "{wanted} is not reached in its turn on {place}: {names:?}"
            );
        }
    }
    // The first link leads past the menu.
    open_at_the_top(&browser, "/payments").await;
    browser.driver().types(TAB).await;
    browser.driver().types(ENTER).await;
    browser.driver().types(TAB).await;
    let first = browser.asks(FOCUSED).await;
    assert_eq!(first[0], json!("Id or customer begins with"));
    // A search is a word and Enter.
    let search = format!("ch_x{ENTER}");
    browser.driver().types(&search).await;
    browser.sees("No payment is like that").await;
    browser.close().await;
    world.strike().await;
}

/// How many bars are drawn that can be seen.
const BARS: &str = "return [...document.querySelectorAll('figure.chart svg')]
    .filter(svg => svg.getBoundingClientRect().width > 0)
    .flatMap(svg => [...svg.querySelectorAll('rect')])
    .filter(bar => bar.getBoundingClientRect().height > 1 && getComputedStyle(bar).fill !== 'none').length";

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_draws_what_was_chosen() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    for (id, whose, state) in [
        ("ch_1", "cus_A", "settled"),
        ("ch_2", "cus_B", "unattributed"),
    ] {
        world
            .stripe("charge.succeeded", charge(id, 4999, Some(whose)))
            .await;
        world.wait_for(id, state).await;
    }
    let browser = Browser::signed_in(&world, VIEWER).await;
    assert_eq!(browser.asks(BARS).await, json!(2));
    browser.press("7 days").await;
    browser.sees("7 days").await;
    assert_eq!(browser.place().await, "/?range=7d");
    assert_eq!(browser.asks(BARS).await, json!(2));
    // Who points at a bar reads what it stands for.
    let chart = browser.find("//figure//*[name()='svg']").await;
    let size = browser
        .asks("const box = document.querySelector('figure.chart svg').getBoundingClientRect(); return [Math.round(box.width), Math.round(box.height)]")
        .await;
    let right = size[0].as_i64().unwrap() / 2 - 30;
    chart.point(right).await;
    browser.sees("49.99 attributed, 49.99 not").await;
    browser.press("The same in figures").await;
    browser.sees("Unattributed").await;
    browser.press("Other days or zone").await;
    browser.write("Zone", "Asia/Tokyo").await;
    browser.press("Show").await;
    browser.sees("days of Asia/Tokyo").await;
    // Other days in the same zone, up to today there.
    browser.press("30 days").await;
    browser.sees("days of Asia/Tokyo").await;
    assert_eq!(browser.place().await, "/?range=30d&zone=Asia%2FTokyo");
    assert_eq!(browser.asks(BARS).await, json!(2));
    browser.close().await;
    world.strike().await;
}
