//! The API's document against the API: every route is in it, every answer has the
//! shape that it says, and nothing that it does not name.
//!
//! The checker knows the words of JSON Schema that the document uses and refuses
//! any other, so that none is passed over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::world::*;

/// Words of a schema that say something to people only.
const SAYS_NOTHING: [&str; 6] = [
    "description",
    "format",
    "title",
    "examples",
    "minimum",
    "propertyNames",
];
/// Words that are checked.
const CHECKED: [&str; 11] = [
    "$ref",
    "allOf",
    "oneOf",
    "anyOf",
    "type",
    "enum",
    "pattern",
    "properties",
    "required",
    "items",
    "additionalProperties",
];

/// How long a test waits for an import, in steps of 20 ms.
const WAIT_STEPS: u32 = 3_000;

struct Document(Value);

impl Document {
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let Some(place) = schema.get("$ref").and_then(Value::as_str) else {
            return schema;
        };
        let found = self.0.pointer(place.trim_start_matches('#'));
        self.resolve(found.unwrap_or_else(|| panic!("{place} leads nowhere")))
    }

    /// The members that a schema names, where the value has its shape.
    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<BTreeSet<String>, String> {
        let schema = self.resolve(schema);
        let Some(words) = schema.as_object() else {
            return Err(format!("{at}: {schema} is no schema"));
        };
        for word in words.keys() {
            let known = SAYS_NOTHING.contains(&word.as_str()) || CHECKED.contains(&word.as_str());
            assert!(known, "{at}: the checker does not know {word}");
        }
        let mut named = BTreeSet::new();
        let list = |word: &str| words.get(word).and_then(Value::as_array);
        for part in list("allOf").into_iter().flatten() {
            named.extend(self.fits(part, value, at)?);
        }
        for (word, exactly) in [("oneOf", true), ("anyOf", false)] {
            let Some(parts) = list(word) else {
                continue;
            };
            let tried: Vec<_> = parts
                .iter()
                .map(|part| self.closed(part, value, at))
                .collect();
            let fitting = tried.iter().filter(|it| it.is_ok()).count();
            if fitting == 0 || (exactly && fitting > 1) {
                return Err(format!("{at}: {fitting} of {word} fit {value}: {tried:?}"));
            }
            named.extend(tried.into_iter().flatten().flatten());
        }
        self.is_of_type(words.get("type"), value, at)?;
        if let Some(values) = list("enum")
            && !values.contains(value)
        {
            return Err(format!("{at}: {value} is none of {values:?}"));
        }
        if let (Some(pattern), Some(text)) = (words.get("pattern"), value.as_str()) {
            let pattern = regex::Regex::new(pattern.as_str().unwrap()).unwrap();
            if !pattern.is_match(text) {
                return Err(format!("{at}: {text} does not match {pattern}"));
            }
        }
        for name in list("required").into_iter().flatten() {
            if value.get(name.as_str().unwrap()).is_none() {
                return Err(format!("{at}: there is no {name}"));
            }
        }
        let properties = words.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            named.insert(name.clone());
            if let Some(member) = value.get(name) {
                self.closed(schema, member, &format!("{at}.{name}"))?;
            }
        }
        if let (Some(schema), Some(items)) = (words.get("items"), value.as_array()) {
            for (number, item) in items.iter().enumerate() {
                self.closed(schema, item, &format!("{at}[{number}]"))?;
            }
        }
        let anything = words.is_empty() || words.contains_key("additionalProperties");
        if let Some(members) = value.as_object().filter(|_| anything) {
            named.extend(members.keys().cloned());
        }
        Ok(named)
    }

    /// The same, where the value has no member that the schema does not name.
    fn closed(&self, schema: &Value, value: &Value, at: &str) -> Result<BTreeSet<String>, String> {
        let named = self.fits(schema, value, at)?;
        let members = value.as_object().into_iter().flatten();
        match members
            .map(|(name, _)| name)
            .find(|it| !named.contains(*it))
        {
            Some(name) => Err(format!("{at}: the document does not name {name}")),
            None => Ok(named),
        }
    }

    fn is_of_type(&self, types: Option<&Value>, value: &Value, at: &str) -> Result<(), String> {
        let types: Vec<&str> = match types {
            None => return Ok(()),
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
            Some(one) => one.as_str().into_iter().collect(),
        };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        match types.contains(&is) {
            true => Ok(()),
            false => Err(format!("{at}: {value} is none of {types:?}")),
        }
    }

    fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
    }
}

async fn fetch(world: &World) -> Document {
    let url = world.admin("/api/v1/openapi.json");
    let answer = world.client.get(url).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "it takes no token");
    Document(answer.json().await.unwrap())
}

/// Every reference in a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|it| references(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_whole() {
    let world = World::new().await;
    let document = fetch(&world).await;
    assert_eq!(document.0["openapi"], "3.1.0");
    assert!(document.0["info"]["title"].is_string() && document.0["info"]["version"].is_string());
    let mut found = Vec::new();
    references(&document.0, &mut found);
    assert!(found.len() > 50, "{} references", found.len());
    for place in found {
        document.resolve(&json!({"$ref": place}));
    }
    let mut ids = BTreeSet::new();
    for (path, method, operation) in document.operations() {
        let told = format!("{method} {path}");
        let id = operation["operationId"].as_str().expect(&told);
        assert!(ids.insert(id), "{id} is there twice");
        assert!(operation["summary"].is_string(), "{told} says what it does");
        let empty = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&empty);
        let in_path: BTreeSet<String> = parameters
            .iter()
            .filter(|it| it["in"] == "path")
            .inspect(|it| assert_eq!(it["required"], true, "{told}"))
            .map(|it| format!("{{{}}}", it["name"].as_str().unwrap()))
            .collect();
        let segments = path.split('/').filter(|it| it.starts_with('{'));
        assert_eq!(in_path, segments.map(str::to_owned).collect(), "{told}");
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|it| it.starts_with('2')), "{told}");
        for (status, answer) in answers {
            assert!(answer["description"].is_string(), "{told} {status}");
            let problem = &answer["content"]["application/problem+json"]["schema"]["$ref"];
            let is_error = status.as_str() >= "400";
            assert_eq!(problem.is_string(), is_error, "{told} {status}");
        }
    }
    let types = &document.0["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let types = types.as_array().unwrap();
    assert!(types.len() > 10, "{types:?}");
    for kind in types {
        let readme = include_str!("../../README.md");
        let slug = kind.as_str().unwrap().rsplit(':').next().unwrap();
        assert!(readme.contains(&format!("| `{slug}` |")), "README: {slug}");
    }
    world.strike().await;
}

/// What a token of each role is answered, by the role that an operation takes.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_in_the_document_with_its_role() {
    let world = World::new().await;
    let document = fetch(&world).await;
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, method, operation) in document.operations() {
        let method = method.to_uppercase();
        let to = path.replace(['{', '}'], "");
        let to = to.replace("/decision", "/retry");
        let ask = async |token: Option<&str>| {
            let request = world
                .client
                .request(method.parse().unwrap(), world.admin(&to));
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            request.send().await.unwrap().status().as_u16()
        };
        let told = format!("{method} {path}");
        match operation["x-role"].as_str() {
            None => assert_eq!((path, ask(None).await), ("/api/v1/openapi.json", 200)),
            Some(role) => {
                assert_eq!(operation["security"], json!([{"token": []}]), "{told}");
                assert_eq!(ask(None).await, 401, "{told}");
                for (token, of) in [
                    (VIEWER, "viewer"),
                    (LINKER, "linker"),
                    (OPERATOR, "operator"),
                ] {
                    let allowed = of == "operator" || of == role;
                    let status = ask(Some(token)).await;
                    assert_ne!(status, 405, "{told}");
                    assert_eq!(status == 403, !allowed, "{told} by a {of}: {status}");
                }
            }
        }
        methods.entry(to).or_default().insert(method);
    }
    for (to, known) in methods {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let there = known.contains(method);
            let (status, _) = world.api(OPERATOR, method, &to, None).await;
            assert_eq!(status == 405, !there, "{method} {to}: {status}");
        }
    }
    // A route that is made by hand would not be in the document.
    for (name, text) in [
        ("api", include_str!("../../src/http/api.rs")),
        ("imports", include_str!("../../src/http/imports.rs")),
        ("links", include_str!("../../src/http/links.rs")),
        ("payments", include_str!("../../src/http/payments.rs")),
        ("report", include_str!("../../src/http/report.rs")),
    ] {
        let by_hand: Vec<&str> = text.lines().filter(|it| it.contains(".route(")).collect();
        let expected = match name {
            "api" => 1,
            _ => 0,
        };
        assert_eq!(by_hand.len(), expected, "{name}: {by_hand:?}");
        assert!(
            by_hand.iter().all(|it| it.contains("/metrics")),
            "{by_hand:?}"
        );
    }
    world.strike().await;
}

/// Calls of the API whose answers are held against the document.
struct Asked<'w> {
    world: &'w World,
    document: Document,
    /// Operations that were answered as they say they are.
    seen: BTreeSet<String>,
}

impl Asked<'_> {
    /// The answer to a call of an operation, whose path has these places filled.
    async fn call(
        &mut self,
        token: &str,
        (method, path): (&str, &str),
        places: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let (segments, query) = places.split_once('?').unwrap_or((places, ""));
        let mut segments = segments.split(' ').filter(|it| !it.is_empty());
        let filled: Vec<&str> = path
            .split('/')
            .map(|it| match it.starts_with('{') {
                true => segments.next().unwrap(),
                false => it,
            })
            .collect();
        let to = format!("{}?{query}", filled.join("/"));
        let operation = &self.document.0["paths"][path][method.to_lowercase()];
        let told = format!("{method} {path}");
        if let Some(body) = &body {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let fits = self.document.closed(schema, body, &told);
            assert!(fits.is_ok(), "{fits:?}");
        }
        for name in query.split('&').filter_map(|it| it.split_once('=')) {
            let parameters = operation["parameters"].as_array().unwrap();
            let named = parameters
                .iter()
                .any(|it| it["name"] == name.0 && it["in"] == "query");
            assert!(named, "{told} names {}", name.0);
        }
        let (status, answer) = self.world.api(token, method, &to, body).await;
        let described = &operation["responses"][status.to_string()];
        assert!(
            described.is_object(),
            "{told} does not say {status}: {answer}"
        );
        let kind = match status {
            400.. => "application/problem+json",
            _ => "application/json",
        };
        let schema = &described["content"][kind]["schema"];
        match schema.is_null() {
            true => assert!(answer.is_null(), "{told} {status}: {answer}"),
            false => {
                let fits = self.document.closed(schema, &answer, &told);
                assert!(fits.is_ok(), "{status}: {fits:?}\n{answer:#}");
            }
        }
        if status < 300 {
            let id = operation["operationId"].as_str().unwrap();
            self.seen.insert(id.to_owned());
        }
        (status, answer)
    }
}

const PAYMENTS: (&str, &str) = ("GET", "/api/v1/payments");
const STORY: (&str, &str) = ("GET", "/api/v1/payments/{source}/{payment_id}");
const REFUND: (&str, &str) = ("POST", "/api/v1/payments/{source}/{payment_id}/refunds");
const DECIDE: (&str, &str) = ("POST", "/api/v1/payments/{source}/{payment_id}/{decision}");
const UNATTRIBUTED: (&str, &str) = ("GET", "/api/v1/unattributed");
const LINK: &str = "/api/v1/sources/{source}/links/{kind}/{external_id}";
const LINKS: (&str, &str) = ("GET", "/api/v1/sources/{source}/links");
const REPORT: (&str, &str) = ("GET", "/api/v1/report");
const TRANSACTION: (&str, &str) = ("POST", "/v1/customers/{customer_key}/transactions");

/// Two rows, one of them without a customer and one wrong.
const FILE: &str = "payment_id,customer_key,amount,currency,occurred_at\n\
    old_1,acme,1200,USD,2025-06-01\nold_2,,700,USD,2025-06-02\nold_3,acme,x,USD,2025-06-03\n";

async fn play(world: &mut World) {
    for (kind, object) in [
        ("customer.created", customer("cus_A", "acme")),
        ("charge.succeeded", charge("ch_1", 4999, Some("cus_A"))),
        ("charge.succeeded", charge("ch_guest", 700, Some("cus_G"))),
        ("charge.succeeded", charge("ch_none", 300, None)),
        ("refund.created", refund("re_1", "ch_1", 500)),
    ] {
        world.stripe(kind, object).await;
    }
    let alone = event("evt_alone", "customer.created", customer("cus_Z", "zeta"));
    world.stripe_event(&alone).await;
    world.wait_for("ch_1", "settled").await;
}

async fn ask_about_payments(asked: &mut Asked<'_>) {
    let (_, page) = asked.call(VIEWER, PAYMENTS, "?limit=1", None).await;
    let next = format!("?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let (_, page) = asked.call(VIEWER, PAYMENTS, &next, None).await;
    assert!(page["previous_cursor"].is_string(), "{page}");
    let (_, found) = asked
        .call(VIEWER, PAYMENTS, "?q=ch_g&provider=stripe", None)
        .await;
    assert_eq!(found["items"][0]["payment_id"], "ch_guest");
    let (status, _) = asked.call(VIEWER, PAYMENTS, "?limit=0", None).await;
    assert_eq!(status, 400);
    let (status, _) = asked.call(VIEWER, PAYMENTS, "?source=nobody", None).await;
    assert_eq!(status, 404);
    asked.call(VIEWER, STORY, "stripe ch_1", None).await;
    asked.call(VIEWER, STORY, "stripe ch_guest", None).await;
    let (_, story) = asked.call(VIEWER, STORY, "stripe evt_alone", None).await;
    assert!(story.get("payment_id").is_none(), "{story}");
    assert_eq!(asked.call(VIEWER, STORY, "stripe no", None).await.0, 404);

    let refund = json!({"refund_id": "re_hand", "amount": 100});
    let (status, _) = asked
        .call(OPERATOR, REFUND, "stripe ch_1", Some(refund))
        .await;
    assert_eq!(status, 200);
    let other = json!({"refund_id": "re_hand", "amount": 101});
    assert_eq!(
        asked
            .call(OPERATOR, REFUND, "stripe ch_1", Some(other))
            .await
            .0,
        409
    );
    let skip = json!({"reason": "a test"});
    let (status, _) = asked
        .call(OPERATOR, DECIDE, "stripe ch_none skip", Some(skip))
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        asked
            .call(OPERATOR, DECIDE, "stripe ch_1 release", None)
            .await
            .0,
        422
    );

    let transaction = json!({"amount": 250, "currency": "USD", "key": "order-77"});
    let (status, _) = asked
        .call(LINKER, TRANSACTION, "acme", Some(transaction))
        .await;
    assert_eq!(status, 200);
}

async fn ask_about_links(asked: &mut Asked<'_>) {
    let (_, groups) = asked.call(VIEWER, UNATTRIBUTED, "", None).await;
    let group = &groups["items"][0];
    assert_eq!(
        (&group["why"], &groups["complete"]),
        (&json!("not_linked"), &json!(true))
    );
    let waited_for = &group["waited_for"][0];
    let id = format!("stripe customer {}", waited_for["id"].as_str().unwrap());
    let globex = || Some(json!({"customer_key": "globex"}));
    let dry = format!("{id}?dry_run=true");
    let (status, tried) = asked.call(OPERATOR, ("PUT", LINK), &dry, globex()).await;
    assert_eq!(
        (status, &tried["sums"][0]["net"]),
        (200, &json!(700)),
        "{tried}"
    );
    assert_eq!(tried["items"][0]["payment_id"], "ch_guest");
    // Who links is told how many, and no money.
    let (_, tried) = asked.call(LINKER, ("PUT", LINK), &dry, globex()).await;
    assert_eq!(
        tried["sums"][0],
        json!({
            "before": "unattributed", "after": "due", "customer_key": "globex", "currency": "USD",
            "payments": 1, "net": null,
        })
    );
    assert_eq!(tried["items"], json!([]));
    let (status, _) = asked.call(LINKER, ("GET", LINK), &id, None).await;
    assert_eq!(status, 404, "nothing was kept");
    for expected in [201, 200] {
        let (status, _) = asked.call(LINKER, ("PUT", LINK), &id, globex()).await;
        assert_eq!(status, expected);
    }
    asked.world.wait_for("ch_guest", "settled").await;
    for query in ["", "?dry_run=true"] {
        let other = Some(json!({"customer_key": "acme"}));
        let (status, _) = asked
            .call(LINKER, ("PUT", LINK), &format!("{id}{query}"), other)
            .await;
        assert_eq!(status, 409);
    }
    let nobody = "nobody customer cus_1?dry_run=true";
    assert_eq!(
        asked.call(LINKER, ("PUT", LINK), nobody, globex()).await.0,
        404
    );
    asked.call(LINKER, ("GET", LINK), &id, None).await;
    let (_, links) = asked.call(LINKER, LINKS, "stripe?limit=1", None).await;
    let next = links["next_cursor"].as_str().unwrap();
    let (_, rest) = asked
        .call(LINKER, LINKS, &format!("stripe?cursor={next}"), None)
        .await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 2, "{rest}");
    assert_eq!(
        asked.call(LINKER, LINKS, "stripe?cursor=x", None).await.0,
        400
    );
    let (status, _) = asked.call(LINKER, ("DELETE", LINK), &id, None).await;
    assert_eq!(status, 204);
}

async fn ask_about_figures(asked: &mut Asked<'_>) {
    for by in ["partner", "customer", "source", "day", "month"] {
        let (status, _) = asked.call(VIEWER, REPORT, &format!("?by={by}"), None).await;
        assert_eq!(status, 200);
    }
    assert_eq!(asked.call(VIEWER, REPORT, "?by=week", None).await.0, 400);
    asked
        .call(VIEWER, ("GET", "/api/v1/summary"), "", None)
        .await;
    asked
        .call(VIEWER, ("GET", "/api/v1/openapi.json"), "", None)
        .await;
}

async fn ask_about_imports(asked: &mut Asked<'_>) {
    let url = asked.world.admin("/api/v1/imports?source=stripe&zone=UTC");
    for _ in 0..2 {
        let sent = asked.world.client.post(&url).bearer_auth(OPERATOR);
        let sent = sent.header("content-type", "text/csv").body(FILE);
        let answer = sent.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 202);
        let operation = &asked.document.0["paths"]["/api/v1/imports"]["post"];
        let schema = &operation["responses"]["202"]["content"]["application/json"]["schema"];
        let answer: Value = answer.json().await.unwrap();
        let fits = asked.document.closed(schema, &answer, "POST imports");
        assert!(fits.is_ok(), "{fits:?}");
    }
    asked.seen.insert("add_import".to_owned());
    let one = ("GET", "/api/v1/imports/{id}");
    for step in 0.. {
        let (_, second) = asked.call(VIEWER, one, "2", None).await;
        if second["state"] == "done" {
            break;
        }
        assert!(step < WAIT_STEPS, "{second}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (_, first) = asked.call(VIEWER, one, "1", None).await;
    assert_eq!(first["result"]["rejected"], 1, "{first}");
    assert!(first["result"]["changes"][0]["net"].is_i64(), "{first}");
    assert_eq!(asked.call(VIEWER, one, "77", None).await.0, 404);
    let all = ("GET", "/api/v1/imports");
    let (_, page) = asked.call(VIEWER, all, "?limit=1", None).await;
    assert_eq!(
        (&page["items"][0]["id"], &page["next_cursor"]),
        (&json!("2"), &json!("2"))
    );
    assert!(
        page["items"][0]["result"].get("changes").is_none(),
        "{page}"
    );
    let (_, page) = asked.call(VIEWER, all, "?cursor=2", None).await;
    assert_eq!(
        (&page["items"][0]["id"], &page["next_cursor"]),
        (&json!("1"), &Value::Null)
    );
    assert_eq!(asked.call(VIEWER, all, "?cursor=x", None).await.0, 400);
    let report = asked.world.admin("/api/v1/imports/1/report");
    let report = asked
        .world
        .client
        .get(report)
        .bearer_auth(OPERATOR)
        .send()
        .await;
    let lines = report.unwrap().text().await.unwrap();
    assert_eq!(lines.lines().count(), 4, "{lines}");
    asked.seen.insert("import_report".to_owned());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_shape_that_the_document_says() {
    let mut world = World::new().await;
    play(&mut world).await;
    let document = fetch(&world).await;
    let mut asked = Asked {
        world: &world,
        document,
        seen: BTreeSet::new(),
    };
    ask_about_payments(&mut asked).await;
    ask_about_links(&mut asked).await;
    ask_about_imports(&mut asked).await;
    ask_about_figures(&mut asked).await;
    let file = world.admin("/api/v1/payments.csv");
    let file = world
        .client
        .get(file)
        .bearer_auth(VIEWER)
        .send()
        .await
        .unwrap();
    assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8");
    asked.seen.insert("payments_csv".to_owned());
    let all: BTreeSet<String> = asked
        .document
        .operations()
        .map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(asked.seen, all, "every operation was asked");
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_holds_what_a_list_shows_and_masks_what_it_masks() {
    let mut world = World::new().await;
    play(&mut world).await;
    let mut with_email = charge("ch_mail", 900, None);
    with_email["billing_details"] = json!({"email": "jenny@example.com"});
    with_email["receipt_email"] = json!("jenny@example.com");
    world.stripe("charge.succeeded", with_email).await;
    let read = async |token: &str, query: &str| -> Vec<Vec<String>> {
        let url = world.admin(&format!("/api/v1/payments.csv?{query}"));
        let answer = world
            .client
            .get(url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let text = answer.text().await.unwrap();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let rows = reader.records().map(Result::unwrap);
        rows.map(|row| row.iter().map(str::to_owned).collect())
            .collect()
    };
    for query in [
        "",
        "state=settled",
        "q=ch_&limit=2",
        "since=2030-01-01",
        "customer_key=acme",
    ] {
        let rows = read(OPERATOR, query).await;
        assert_eq!(rows[0][..2], ["payment_id", "kind"]);
        let mut ids: Vec<&str> = rows[1..].iter().map(|row| row[0].as_str()).collect();
        ids.dedup();
        let list = format!("/api/v1/payments?{}", query.replace("&limit=2", ""));
        let (_, list) = world.api(OPERATOR, "GET", &list, None).await;
        let items = list["items"].as_array().unwrap().iter();
        let shown: Vec<&str> = items.map(|it| it["payment_id"].as_str().unwrap()).collect();
        assert_eq!(ids, shown, "{query}");
    }
    // Row for row it is what `export` writes, which imports back to the same books.
    let mut exported = Vec::new();
    let all = tributary::ledger::Filter::default();
    let ledger = &world.service().app.ledger;
    tributary::export::export(ledger, all, &mut exported)
        .await
        .unwrap();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(exported.as_slice());
    let rows = reader.records().map(|row| row.unwrap());
    let mut exported: Vec<Vec<String>> = rows
        .map(|row| row.iter().map(str::to_owned).collect())
        .collect();
    let mut shown = read(OPERATOR, "").await;
    assert_eq!(shown[0], exported[0]);
    shown.sort();
    exported.sort();
    assert_eq!(shown, exported);
    // The charge and its refund, a row each.
    assert_eq!(read(OPERATOR, "q=ch_1").await.len(), 3);
    let holds =
        |rows: &[Vec<String>], text: &str| rows.iter().flatten().any(|it| it.contains(text));
    assert!(holds(
        &read(OPERATOR, "q=ch_mail").await,
        "jenny@example.com"
    ));
    let masked = read(VIEWER, "q=ch_mail").await;
    assert!(
        !holds(&masked, "jenny@") && holds(&masked, "j***@***.com"),
        "{masked:?}"
    );
    let (status, _) = world
        .api(VIEWER, "GET", "/api/v1/payments.csv?source=no", None)
        .await;
    assert_eq!(status, 404);
    world.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_sent_again() {
    let mut world = World::new().await;
    play(&mut world).await;
    let ask = async |world: &World, method: &str, path: &str, known: Option<&str>| {
        let request = world
            .client
            .request(method.parse().unwrap(), world.admin(path));
        let request = request.bearer_auth(VIEWER);
        let request = match known {
            Some(tag) => request.header("if-none-match", tag),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
        let length = answer.headers().get("content-length").cloned();
        let status = answer.status().as_u16();
        (status, tag, length, answer.bytes().await.unwrap())
    };
    let paths = [
        "/api/v1/report?by=day",
        "/api/v1/payments/stripe/ch_1",
        "/api/v1/summary",
        "/api/v1/openapi.json",
    ];
    for path in paths {
        let (status, tag, length, body) = ask(&world, "GET", path, None).await;
        assert_eq!((status, body.is_empty()), (200, false), "{path}");
        let (status, same, _, nothing) = ask(&world, "GET", path, Some(&tag)).await;
        assert_eq!((status, nothing.len(), &same), (304, 0, &tag), "{path}");
        assert_eq!(ask(&world, "GET", path, Some("\"other\"")).await.0, 200);
        let (status, same, head, nothing) = ask(&world, "HEAD", path, None).await;
        assert_eq!((status, nothing.len(), &same), (200, 0, &tag), "{path}");
        // A summary's seconds may have got a digit more.
        assert!(head == length || path.ends_with("summary"), "{path}");
    }
    let mut before = Vec::new();
    for path in &paths[..3] {
        before.push(ask(&world, "GET", path, None).await.1);
    }
    world
        .stripe("refund.created", refund("re_2", "ch_1", 100))
        .await;
    for (path, tag) in paths.iter().zip(before) {
        let (status, now, ..) = ask(&world, "GET", path, Some(&tag)).await;
        assert_eq!((status, now == tag), (200, false), "{path}");
    }
    world.strike().await;
}
