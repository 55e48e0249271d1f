//! Stories of billing systems, Chargebee, Chargify and Recurly, and of a sender
//! that only the configuration describes. Shapes are those of their fixtures,
//! cut to what is read.

use form_urlencoded::byte_serialize;
use serde_json::{Value, json};

use super::{Said, Story, nothing, webhook};

/// 2026-06-01, in seconds.
const AT: i64 = 1_780_272_000;

fn chargebee(n: usize, id: &str, name: &str, content: Value) -> Said {
    webhook(json!({
        "id": format!("ev_{id}_{n}"), "object": "event", "api_version": "v2",
        "occurred_at": AT, "event_type": name, "content": content,
    }))
}

/// A transaction as it was so many minutes after the sale.
fn chargebee_transaction(
    n: usize,
    (id, kind): (&str, &str),
    (amount, status): (i64, &str),
    minutes: i64,
) -> Value {
    let mut transaction = json!({
        "id": format!("{id}_{n}"), "object": "transaction", "type": kind, "status": status,
        "customer_id": format!("cust {n}"), "amount": amount, "currency_code": "USD",
        "date": AT + minutes * 60, "resource_version": (AT + minutes * 60) * 1000,
        "gateway": "chargebee", "payment_method": "card", "id_at_gateway": format!("cb_{id}_{n}"),
    });
    match kind {
        "refund" => transaction["refunded_txn_id"] = format!("txn_{n}").into(),
        _ => {
            transaction["linked_invoices"] =
                json!([{"invoice_id": format!("INV-{n}"), "applied_amount": amount}]);
        }
    }
    json!({ "transaction": transaction })
}

fn told_by_chargebee(n: usize) -> Vec<Said> {
    let known = json!({"customer": {
        "id": format!("cust {n}"), "object": "customer", "resource_version": AT * 1000,
        "meta_data": {"customer_key": "acme"},
    }});
    let refund = |id: &str, amount: i64, status: &str, minutes: i64| {
        chargebee_transaction(n, (id, "refund"), (amount, status), minutes)
    };
    let mut chargeback = refund("back", 700, "success", 90);
    chargeback["transaction"]["payment_method"] = "chargeback".into();
    let paid = chargebee_transaction(n, ("txn", "payment"), (5000, "success"), 0);
    vec![
        chargebee(n, "cust", "customer_created", known),
        chargebee(n, "paid", "payment_succeeded", paid),
        chargebee(
            n,
            "r1",
            "payment_refunded",
            refund("r1", 1000, "success", 5),
        ),
        chargebee(n, "r2", "payment_refunded", refund("r2", 500, "success", 6)),
        chargebee(
            n,
            "r2v",
            "transaction_updated",
            refund("r2", 500, "voided", 60),
        ),
        chargebee(n, "back", "payment_refunded", chargeback),
    ]
}

#[tokio::test]
async fn any_order_of_chargebee_is_one_truth() {
    let story = Story {
        provider: "chargebee",
        settings: "",
        rules: &[],
        payment_id: |n| format!("txn_{n}"),
        said: told_by_chargebee,
        answered: nothing,
        gross: 5000,
        net: 3300,
    };
    story.play().await;
    let late_failure = Story {
        said: |n| {
            let mut told = told_by_chargebee(n);
            told.truncate(3);
            let back = chargebee_transaction(n, ("txn", "payment"), (5000, "late_failure"), 900);
            told.push(chargebee(n, "late", "payment_failed", back));
            told
        },
        net: 0,
        ..story
    };
    late_failure.play().await;
}

/// A form as Chargify posts it.
fn chargify(n: usize, id: &str, name: &str, fields: &[(&str, String)]) -> Said {
    let mut body = format!("id={id}{n:04}&event={name}");
    for (field, value) in fields {
        let value: String = byte_serialize(value.as_bytes()).collect();
        body.push_str(&format!("&payload{field}={value}"));
    }
    let mut kept = tributary::provider::Kept::default();
    let form = "application/x-www-form-urlencoded".to_owned();
    kept.headers.insert("content-type".to_owned(), form);
    Said::Webhook(kept, body)
}

fn chargify_payment(n: usize, success: bool) -> Vec<(&'static str, String)> {
    let text = str::to_owned;
    vec![
        ("[subscription][id]", format!("33{n:04}")),
        ("[subscription][currency]", text("USD")),
        ("[subscription][customer][reference]", text("acme")),
        ("[transaction][id]", format!("91{n:04}")),
        ("[transaction][type]", text("Payment")),
        ("[transaction][success]", success.to_string()),
        ("[transaction][amount_in_cents]", text("5000")),
        ("[transaction][created_at]", text("2026-06-01T00:00:00Z")),
        ("[transaction][gateway_used]", text("braintree_blue")),
        ("[transaction][gateway_transaction_id]", format!("gt{n:04}")),
    ]
}

fn chargify_refund(n: usize, which: usize, amount: i64) -> Said {
    let text = str::to_owned;
    let fields = [
        ("[refund_id]", format!("92{which}{n:04}")),
        ("[payment_id]", format!("91{n:04}")),
        ("[amount_in_cents]", amount.to_string()),
        ("[payment_amount_in_cents]", text("5000")),
        ("[customer_reference]", text("acme")),
        ("[gateway_used]", text("braintree_blue")),
        ("[timestamp]", format!("2026-06-0{}T00:00:00Z", which + 1)),
    ];
    chargify(n, &format!("8{which}"), "refund_success", &fields)
}

fn told_by_chargify(n: usize) -> Vec<Said> {
    let paid = chargify_payment(n, true);
    vec![
        chargify(n, "70", "payment_success", &paid),
        // The same money once more, not to be counted.
        chargify(n, "71", "renewal_success", &paid[..3]),
        chargify_refund(n, 1, 1000),
        chargify_refund(n, 2, 500),
    ]
}

#[tokio::test]
async fn any_order_of_chargify_is_one_truth() {
    let story = Story {
        provider: "chargify",
        settings: "currency = \"USD\"",
        rules: &[],
        payment_id: |n| format!("91{n:04}"),
        said: told_by_chargify,
        answered: nothing,
        gross: 5000,
        net: 3500,
    };
    story.play().await;
    let rejected = Story {
        said: |n| {
            let mut told = told_by_chargify(n);
            let mut fields = chargify_payment(n, false);
            fields.push(("[timestamp]", "2026-06-09T00:00:00Z".to_owned()));
            told.push(chargify(n, "90", "direct_debit_payment_rejected", &fields));
            told
        },
        net: 0,
        ..story
    };
    rejected.play().await;
}

/// A notification of Recurly in XML.
fn recurly(n: usize, root: &str, (id, action): (&str, &str), status: &str, cents: i64) -> Said {
    let minute = cents % 60;
    webhook(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>\n\
         <account><account_code>acme</account_code></account>\n\
         <transaction><id>{id}x{n}</id><invoice_id>inv{n}</invoice_id>\
         <invoice_number type=\"integer\">{n}</invoice_number><action>{action}</action>\
         <date type=\"datetime\">2026-06-01T10:{minute:02}:00Z</date>\
         <amount_in_cents type=\"integer\">{cents}</amount_in_cents><status>{status}</status>\
         <test type=\"boolean\">false</test></transaction>\n</{root}>\n"
    ))
}

fn told_by_recurly(n: usize) -> Vec<Said> {
    let (bought, back) = (("buy", "purchase"), "successful_refund_notification");
    vec![
        recurly(n, "failed_payment_notification", bought, "Declined", 5000),
        recurly(
            n,
            "successful_payment_notification",
            bought,
            "success",
            5000,
        ),
        recurly(
            n,
            "transaction_status_updated_notification",
            bought,
            "success",
            5000,
        ),
        recurly(n, back, ("ra", "credit"), "success", 1000),
        recurly(n, back, ("rb", "credit"), "success", 500),
        // A refund that is voided gives the money back.
        recurly(
            n,
            "void_payment_notification",
            ("rb", "credit"),
            "void",
            500,
        ),
    ]
}

#[tokio::test]
async fn any_order_of_recurly_is_one_truth() {
    let story = Story {
        provider: "recurly",
        settings: "currency = \"USD\"",
        rules: &[],
        payment_id: |n| format!("buyx{n}"),
        said: told_by_recurly,
        answered: nothing,
        gross: 5000,
        net: 4000,
    };
    story.play().await;
    let voided = Story {
        said: |n| {
            let mut told = told_by_recurly(n);
            told.truncate(4);
            let bought = ("buy", "purchase");
            told.push(recurly(
                n,
                "void_payment_notification",
                bought,
                "void",
                5000,
            ));
            told
        },
        net: 0,
        ..story
    };
    voided.play().await;
}

/// Rules of a sender that tells of everything, each in an event of its own.
const CUSTOM: &str = r#"
    [signature]
    scheme = "standard-webhooks"
    [event]
    name = "/type"
    id = "/id"
    time = "/at"
    [[rules]]
    movement = "payment"
    when = { "/type" = "paid" }
    payment_id = "/order"
    amount = "/amount"
    currency = "/currency"
    clues = { "customer" = "/customer" }
    [[rules]]
    movement = "refund"
    when = { "/type" = "refunded" }
    payment_id = "/order"
    id = "/of"
    amount = "/amount"
    currency = "/currency"
    [[rules]]
    movement = "refund_failed"
    when = { "/type" = "refund_failed" }
    payment_id = "/order"
    id = "/of"
    amount = "/amount"
    currency = "/currency"
    [[rules]]
    movement = "dispute"
    when = { "/type" = "lost" }
    payment_id = "/order"
    id = "/of"
    amount = "/amount"
    currency = "/currency"
    [[rules]]
    movement = "dispute_returned"
    when = { "/type" = "won" }
    payment_id = "/order"
    id = "/of"
    amount = "/amount"
    currency = "/currency"
    [[rules]]
    movement = "void"
    when = { "/type" = "voided" }
    payment_id = "/order"
    currency = "/currency"
"#;

fn custom(n: usize, name: &str, of: &str, amount: i64) -> Said {
    webhook(json!({
        "id": format!("{name}-{of}-{n}"), "type": name, "at": "2026-06-01T00:00:00Z",
        "order": format!("ord_{n}"), "of": format!("{of}_{n}"), "amount": amount,
        "currency": "USD", "customer": format!("cust_{n}"),
    }))
}

fn told_by_custom(n: usize) -> Vec<Said> {
    vec![
        Said::Link("customer", format!("cust_{n}"), None),
        custom(n, "paid", "ord", 5000),
        custom(n, "refunded", "ra", 1000),
        custom(n, "refunded", "rb", 500),
        custom(n, "refund_failed", "rb", 500),
        custom(n, "lost", "dp", 700),
        custom(n, "won", "dp", 700),
    ]
}

#[tokio::test]
async fn any_order_of_a_custom_sender_is_one_truth() {
    let story = Story {
        provider: "custom",
        settings: CUSTOM,
        rules: &["link:customer"],
        payment_id: |n| format!("ord_{n}"),
        said: told_by_custom,
        answered: nothing,
        gross: 5000,
        net: 4000,
    };
    story.play().await;
    let voided = Story {
        said: |n| {
            let mut told = told_by_custom(n);
            told.truncate(4);
            told.push(custom(n, "voided", "ord", 0));
            told
        },
        net: 0,
        ..story
    };
    voided.play().await;
}
