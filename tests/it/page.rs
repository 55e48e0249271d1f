//! The page as a browser asks for it, without a browser: who is let in, what
//! forms do, and that it shows what the API shows. How it looks and that it works
//! with a script is for `browser`.

use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use serde_json::json;

use crate::world::*;

/// Somebody in front of the page.
struct Visitor<'a> {
    world: &'a World,
    client: reqwest::Client,
    cookie: String,
}

/// What was answered.
struct Seen {
    status: u16,
    to: String,
    cookie: Option<String>,
    policy: String,
    text: String,
}

impl<'a> Visitor<'a> {
    fn new(world: &'a World) -> Visitor<'a> {
        let client = reqwest::Client::builder().no_proxy();
        let client = client.redirect(reqwest::redirect::Policy::none());
        Visitor {
            world,
            client: client.build().unwrap(),
            cookie: String::new(),
        }
    }

    async fn signed_in(world: &'a World, token: &str) -> Visitor<'a> {
        let mut visitor = Visitor::new(world);
        let seen = visitor.send("/sign-in", &[("token", token)]).await;
        assert_eq!(seen.status, 303, "{}", seen.text);
        let cookie = seen.cookie.unwrap();
        visitor.cookie = cookie.split(';').next().unwrap().to_owned();
        visitor
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Seen {
        let answer = request.header(COOKIE, &self.cookie).send().await.unwrap();
        let text = |name| {
            let value = answer.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        Seen {
            status: answer.status().as_u16(),
            to: text(LOCATION.as_str()).unwrap_or_default(),
            cookie: text(SET_COOKIE.as_str()),
            policy: text("content-security-policy").unwrap_or_default(),
            text: answer.text().await.unwrap(),
        }
    }

    async fn look(&self, path: &str) -> Seen {
        self.answer(self.client.get(self.world.admin(path))).await
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.answer(self.client.post(self.world.admin(path)).body(body))
            .await
    }

    /// The token that the forms of a page carry.
    async fn form_token(&self, path: &str) -> String {
        let page = self.look(path).await.text;
        let (_, rest) = page.split_once("name=\"form_token\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_anything_without_a_token() {
    let world = World::new().await;
    let visitor = Visitor::new(&world);
    for path in [
        "/",
        "/payments",
        "/payments/stripe/ch_1",
        "/report",
        "/links",
    ] {
        let seen = visitor.look(path).await;
        assert_eq!(
            (seen.status, seen.to.starts_with("/sign-in")),
            (303, true),
            "{path}"
        );
    }
    let back = visitor.look("/payments?state=held").await.to;
    assert_eq!(back, "/sign-in?next=%2Fpayments%3Fstate%3Dheld");
    let wrong = visitor.send("/sign-in", &[("token", "guess")]).await;
    assert_eq!((wrong.status, wrong.cookie), (401, None));
    assert!(wrong.text.contains("That token is not known here."));
    // A form without a session does nothing and says so.
    let lost = visitor.send("/payments/stripe/ch_1/retry", &[]).await;
    assert_eq!((lost.status, lost.to.as_str()), (303, "/sign-in?ended=1"));
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_a_cookie_that_no_script_and_no_other_site_can_use() {
    let world = World::new().await;
    let visitor = Visitor::new(&world);
    let seen = visitor
        .send("/sign-in", &[("token", OPERATOR), ("next", "/report")])
        .await;
    assert_eq!((seen.status, seen.to.as_str()), (303, "/report"));
    let cookie = seen.cookie.unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(OPERATOR));
    // Never to another host.
    for next in [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "x",
    ] {
        let seen = visitor
            .send("/sign-in", &[("token", OPERATOR), ("next", next)])
            .await;
        assert_eq!(seen.to, "/", "{next}");
    }
    let visitor = Visitor::signed_in(&world, OPERATOR).await;
    let page = visitor.look("/").await;
    assert_eq!(page.status, 200);
    assert!(page.policy.contains("default-src 'none'") && !page.policy.contains("unsafe"));
    // What is written into the page would not be allowed by that policy.
    for forbidden in [
        "<style", " style=", "onclick", "<script>", "http://", "https://",
    ] {
        let own = page.text.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains(forbidden), "{forbidden}");
    }
    // A cookie that was changed is none.
    let mut forged = Visitor::new(&world);
    forged.cookie = visitor.cookie.replace(".1", ".2");
    assert_ne!(forged.cookie, visitor.cookie);
    assert_eq!(forged.look("/").await.status, 303);
    // Signed out is signed out, whoever kept the cookie.
    let token = visitor.form_token("/").await;
    let out = visitor.send("/sign-out", &[("form_token", &token)]).await;
    assert_eq!((out.status, out.to.as_str()), (303, "/sign-in"));
    assert!(out.cookie.unwrap().contains("Max-Age=0"));
    assert_eq!(visitor.look("/").await.status, 303);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_another_page_do_nothing() {
    let mut world = World::new().await;
    world
        .stripe("charge.succeeded", charge("ch_1", 4999, Some("cus_A")))
        .await;
    world.wait_for("ch_1", "unattributed").await;
    let visitor = Visitor::signed_in(&world, OPERATOR).await;
    let other = Visitor::signed_in(&world, OPERATOR).await;
    let skip = "/payments/stripe/ch_1/skip";
    let token = visitor.form_token("/payments/stripe/ch_1").await;
    let theirs = other.form_token("/payments/stripe/ch_1").await;
    for fields in [
        vec![("reason", "forged")],
        vec![("reason", "forged"), ("form_token", "")],
        vec![("reason", "forged"), ("form_token", theirs.as_str())],
    ] {
        assert_eq!(visitor.send(skip, &fields).await.status, 403);
    }
    let fields = [("reason", "forged"), ("form_token", token.as_str())];
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    for (name, value) in [
        (ORIGIN.as_str(), "http://evil.example"),
        (ORIGIN.as_str(), "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let request = visitor.client.post(world.admin(skip)).body(body.clone());
        let seen = visitor.answer(request.header(name, value)).await;
        assert_eq!(seen.status, 403, "{name}: {value}");
    }
    assert_eq!(world.payment("ch_1").await.state, "unattributed");
    let seen = visitor.send(skip, &fields).await;
    assert_eq!(seen.status, 303, "{}", seen.text);
    assert_eq!(world.payment("ch_1").await.state, "ignored");
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_sees_and_does_what_it_may() {
    let mut world = World::new().await;
    let guest = charge("ch_1", 4999, Some("cus_A"));
    world.stripe("charge.succeeded", guest).await;
    world.wait_for("ch_1", "unattributed").await;
    let viewer = Visitor::signed_in(&world, VIEWER).await;
    let page = viewer.look("/payments/stripe/ch_1").await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("What you can do"));
    let token = viewer.form_token("/").await;
    let seen = viewer
        .send("/payments/stripe/ch_1/retry", &[("form_token", &token)])
        .await;
    assert_eq!(seen.status, 403);
    assert!(seen.text.contains("its role is viewer"));
    let linker = Visitor::signed_in(&world, LINKER).await;
    assert_eq!(linker.look("/").await.to, "/links");
    assert_eq!(linker.look("/payments").await.to, "/links");
    let token = linker.form_token("/links").await;
    let fields = [
        ("form_token", token.as_str()),
        ("source", "stripe"),
        ("kind", "customer"),
        ("external_id", "cus_A"),
        ("customer_key", "acme"),
    ];
    let seen = linker.send("/links", &fields).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert!(
        seen.text.contains("1 payment was looked at again"),
        "{}",
        seen.text
    );
    assert_eq!(world.wait_for("ch_1", "settled").await.forwarded, 4999);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_found_read_and_linked() {
    let mut world = World::new().await;
    world
        .stripe("charge.succeeded", charge("ch_<1>", 123_456, Some("cus_A")))
        .await;
    world.wait_for("ch_<1>", "unattributed").await;
    let visitor = Visitor::signed_in(&world, OPERATOR).await;
    let overview = visitor.look("/").await.text;
    assert!(overview.contains("1,234.56"), "{overview}");
    let list = visitor.look("/payments?state=unattributed").await.text;
    let place = "/payments/stripe/ch%5F%3C1%3E";
    assert!(
        list.contains(place) && list.contains("ch_&#60;1&#62;"),
        "{list}"
    );
    let page = visitor.look(place).await.text;
    assert!(
        page.contains("cus_A is not linked to a customer yet"),
        "{page}"
    );
    assert!(!page.contains("<1>"));
    let token = visitor.form_token(place).await;
    let link = format!("{place}/link");
    let mut fields = vec![
        ("form_token", token.as_str()),
        ("kind", "customer"),
        ("external_id", "cus_A"),
    ];
    let seen = visitor.send(&link, &fields).await;
    assert_eq!(seen.status, 422);
    assert!(seen.text.contains("Not done"));
    fields.push(("customer_key", "acme"));
    let seen = visitor.send(&link, &fields).await;
    assert_eq!((seen.status, seen.to), (303, format!("{place}?done=link")));
    world.wait_for("ch_<1>", "settled").await;
    let page = visitor.look(place).await.text;
    assert!(page.contains("posted 1234.56 USD"), "{page}");
    // What was linked in its name says whose word it was.
    let (_, link) = world
        .api(VIEWER, "GET", "/api/v1/payments/stripe/ch_%3C1%3E", None)
        .await;
    assert_eq!(link["links"][0]["said_by"], json!("ops"));
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_links_would_do_is_seen_before_they_are_saved() {
    let mut world = World::new().await;
    for (id, customer) in [("ch_1", "cus_A"), ("ch_2", "cus_A"), ("ch_3", "cus:B")] {
        world
            .stripe("charge.succeeded", charge(id, 2500, Some(customer)))
            .await;
        world.wait_for(id, "unattributed").await;
    }
    let visitor = Visitor::signed_in(&world, OPERATOR).await;
    let page = visitor.look("/unattributed").await.text;
    assert!(page.contains("An id is not linked to a customer yet"));
    assert!(page.contains("75.00\u{a0}USD") && page.contains("key:customer:cus:B"));
    let token = visitor.form_token("/unattributed").await;
    let mut fields = vec![
        ("form_token", token.as_str()),
        ("source", "stripe"),
        ("key:customer:cus_A", "acme"),
        ("key:customer:cus:B", ""),
    ];
    let tried = visitor.send("/unattributed/link", &fields).await;
    assert_eq!(tried.status, 200);
    for part in [
        "2 payments would be looked at again",
        "50.00\u{a0}USD",
        "acme",
    ] {
        assert!(tried.text.contains(part), "{part}: {}", tried.text);
    }
    assert_eq!(world.payment("ch_1").await.state, "unattributed");
    fields[3].1 = "globex";
    fields.push(("save", "1"));
    let saved = visitor.send("/unattributed/link", &fields).await;
    assert_eq!(
        (saved.status, saved.to.as_str()),
        (303, "/unattributed?done=1")
    );
    for id in ["ch_1", "ch_2", "ch_3"] {
        world.wait_for(id, "settled").await;
    }
    let page = visitor.look("/unattributed").await.text;
    assert!(page.contains("Every payment has its customer"));
    let nothing = visitor.send("/unattributed/link", &fields[..2]).await;
    assert_eq!(nothing.status, 422);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_tried_and_recorded_on_the_page() {
    let world = World::new().await;
    let visitor = Visitor::signed_in(&world, OPERATOR).await;
    let token = visitor.form_token("/imports").await;
    let file = "payment_id,customer_key,amount,currency,occurred_at\n\
                old_1,acme,4999,USD,2026-05-01\nold_2,acme,x,USD,2026-05-01\n";
    let send = |fields: Vec<(&'static str, String)>| {
        let mut form = String::new();
        for (name, value) in fields {
            let kind = if name == "file" {
                "; filename=\"old.csv\""
            } else {
                ""
            };
            form.push_str(&format!(
                "--X\r\nContent-Disposition: form-data; name=\"{name}\"{kind}\r\n\r\n{value}\r\n"
            ));
        }
        form.push_str("--X--\r\n");
        let request = visitor.client.post(world.admin("/imports")).body(form);
        visitor.answer(request.header("Content-Type", "multipart/form-data; boundary=X"))
    };
    let of = |more: Vec<(&'static str, String)>| {
        let mut fields = vec![
            ("form_token", token.clone()),
            ("source", "stripe".to_owned()),
            ("zone", "UTC".to_owned()),
        ];
        fields.extend(more);
        fields.push(("file", file.to_owned()));
        fields
    };
    let forged = send(vec![
        ("source", "stripe".to_owned()),
        ("file", file.to_owned()),
    ])
    .await;
    assert_eq!(forged.status, 403, "{}", forged.text);
    let empty = send(vec![("form_token", token.clone())]).await;
    assert_eq!(empty.status, 422);
    let ended = |place: String| {
        let (visitor, place) = (&visitor, place);
        async move {
            for _ in 0..500 {
                let page = visitor.look(&place).await.text;
                if page.contains(">done</span>") {
                    return page;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            panic!("{place} does not end");
        }
    };
    let tried = send(of(vec![("dry_run", "on".to_owned())])).await;
    assert_eq!(tried.status, 303, "{}", tried.text);
    let page = ended(tried.to).await;
    assert!(
        page.contains("This was a dry run") && page.contains("49.99\u{a0}USD"),
        "{page}"
    );
    assert!(page.contains("line 3"), "{page}");
    assert_eq!(visitor.look("/payments/stripe/old_1").await.status, 404);
    let recorded = send(of(vec![])).await;
    let page = ended(recorded.to.clone()).await;
    assert!(!page.contains("dry run"), "{page}");
    assert_eq!(world.wait_for("old_1", "settled").await.forwarded, 4999);
    let report = visitor.look(&format!("{}/report.csv", recorded.to)).await;
    assert!(report.text.contains("rejected"), "{}", report.text);
    let list = visitor.look("/imports").await.text;
    assert!(list.contains("dry run") && list.contains("recorded"));
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_page_hold_what_it_shows() {
    let mut world = World::new().await;
    world
        .stripe("customer.created", customer("cus_A", "acme"))
        .await;
    for (id, amount) in [("ch_1", 4999), ("ch_2", 100)] {
        world
            .stripe("charge.succeeded", charge(id, amount, Some("cus_A")))
            .await;
        world.wait_for(id, "settled").await;
    }
    let visitor = Visitor::signed_in(&world, VIEWER).await;
    let list = visitor.look("/payments?q=ch_1").await.text;
    assert!(list.contains("ch_1") && !list.contains("ch_2"));
    let file = visitor.look("/payments.csv?q=ch_1").await.text;
    assert!(file.contains("ch_1") && !file.contains("ch_2"), "{file}");
    let report = visitor.look("/report.csv?by=customer").await.text;
    assert!(
        report.contains("acme") && report.contains("50.99"),
        "{report}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&visitor.look("/report.json?by=customer").await.text).unwrap();
    assert_eq!(json["totals"][0]["net"], json!(5099));
    let customers = visitor.look("/customers").await.text;
    assert!(customers.contains("acme") && customers.contains("50.99"));
    assert!(customers.contains("<svg"), "{customers}");
    assert!(
        !visitor
            .look("/customers?q=nobody")
            .await
            .text
            .contains("acme")
    );
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_an_address_finds_nobody_by_it() {
    let mut world = World::new().await;
    for (id, key) in [("cus_A", "ann@example.com"), ("cus_B", "acme")] {
        world.stripe("customer.created", customer(id, key)).await;
    }
    for (id, customer) in [("ch_1", "cus_A"), ("ch_2", "cus_B")] {
        world
            .stripe("charge.succeeded", charge(id, 4999, Some(customer)))
            .await;
    }
    for (token, shown) in [(VIEWER, "a***@***.com"), (OPERATOR, "ann@example.com")] {
        let visitor = Visitor::signed_in(&world, token).await;
        for (search, found) in [
            ("ANN%40Ex", token == OPERATOR),
            ("a***", token == VIEWER),
            (".com", true),
        ] {
            let path = format!("/customers?q={search}");
            let page = visitor.look(&path).await.text;
            assert_eq!(page.contains(shown), found, "{path}: {page}");
            assert!(!page.contains("acme"), "{path}: {page}");
        }
        let other = visitor.look("/customers?q=ACM").await.text;
        assert!(other.contains("acme") && !other.contains(shown), "{other}");
    }
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_address_says_wrong_is_told_as_a_page() {
    let world = World::new().await;
    let visitor = Visitor::signed_in(&world, VIEWER).await;
    for (path, status, told) in [
        ("/?range=8d", 400, "range:"),
        ("/?zone=Mars", 400, "zone:"),
        ("/report?by=week", 400, "by:"),
        ("/payments?state=lost", 400, "state:"),
        ("/payments?cursor=x", 400, "cursor:"),
        ("/payments/stripe/none", 404, "Not found"),
        ("/payments/nowhere/none", 404, "Not found"),
    ] {
        let seen = visitor.look(path).await;
        assert_eq!(seen.status, status, "{path}");
        assert!(
            seen.text.contains("<h1>") && seen.text.contains(told),
            "{path}: {}",
            seen.text
        );
    }
    let old = visitor.look("/assets/0000000000000000/style.css").await;
    assert_eq!(old.status, 404);
    world.strike().await;
}
