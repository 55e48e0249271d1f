//! Stories of those who move the money themselves: Stripe, Pats, Paysafe,
//! Paysight and Pyng. Shapes are those of their fixtures, cut to what is read.

use serde_json::{Value, json};
use tributary::provider::{Asked, Kept};

use super::{Said, Story, nothing, number_of, webhook};

/// 2026-06-01, in seconds.
const AT: i64 = 1_780_272_000;

fn stripe(n: usize, id: &str, kind: &str, minutes: i64, object: Value) -> Said {
    webhook(json!({
        "id": format!("evt_{id}_{n}"), "object": "event", "api_version": "2026-10-28.endive",
        "created": AT + minutes * 60, "type": kind, "livemode": true,
        "data": {"object": object},
    }))
}

fn stripe_charge(n: usize, refunded: i64) -> Value {
    json!({
        "id": format!("ch_{n}"), "object": "charge", "amount": 5000, "amount_captured": 5000,
        "amount_refunded": refunded, "captured": true, "paid": true, "status": "succeeded",
        "currency": "usd", "customer": format!("cus_{n}"), "created": AT, "livemode": true,
        "payment_intent": format!("pi_{n}"), "metadata": {},
    })
}

fn stripe_refund(n: usize, which: usize, amount: i64, status: &str) -> Value {
    json!({
        "id": format!("re_{which}_{n}"), "object": "refund", "amount": amount,
        "charge": format!("ch_{n}"), "payment_intent": format!("pi_{n}"), "currency": "usd",
        "created": AT + 60, "status": status,
    })
}

fn stripe_dispute(n: usize, status: &str) -> Value {
    let entry = |amount: i64, category: &str| json!({"amount": amount, "currency": "usd", "reporting_category": category});
    let mut entries = vec![entry(-700, "dispute")];
    if status == "won" {
        entries.push(entry(700, "dispute_reversal"));
    }
    json!({
        "id": format!("dp_{n}"), "object": "dispute", "amount": 700, "charge": format!("ch_{n}"),
        "payment_intent": format!("pi_{n}"), "currency": "usd", "status": status,
        "balance_transactions": entries,
    })
}

/// The customer, the charge, a refund told in both forms, one that fails, and a
/// dispute that is won.
fn told_by_stripe(n: usize) -> Vec<Said> {
    let known = json!({
        "id": format!("cus_{n}"), "object": "customer", "created": AT,
        "metadata": {"customer_key": "acme"},
    });
    vec![
        stripe(n, "cus", "customer.created", 0, known),
        stripe(n, "ok", "charge.succeeded", 0, stripe_charge(n, 0)),
        stripe(
            n,
            "re1",
            "refund.created",
            5,
            stripe_refund(n, 1, 1000, "succeeded"),
        ),
        stripe(n, "sum", "charge.refunded", 5, stripe_charge(n, 1000)),
        stripe(
            n,
            "re2",
            "refund.created",
            6,
            stripe_refund(n, 2, 500, "succeeded"),
        ),
        stripe(
            n,
            "failed",
            "refund.failed",
            60,
            stripe_refund(n, 2, 500, "failed"),
        ),
        stripe(
            n,
            "dp",
            "charge.dispute.funds_withdrawn",
            90,
            stripe_dispute(n, "needs_response"),
        ),
        stripe(
            n,
            "won",
            "charge.dispute.closed",
            900,
            stripe_dispute(n, "won"),
        ),
    ]
}

/// What the API says of the customer and the refunds, as it all ended.
fn stripe_answers(asked: &Asked) -> String {
    let n = number_of(&asked.id);
    let answer = match asked.kind.as_str() {
        "customer" => json!({
            "id": asked.id, "object": "customer", "created": AT,
            "metadata": {"customer_key": "acme"},
        }),
        "refunds" => json!({"object": "list", "has_more": false, "data": [
            stripe_refund(n, 1, 1000, "succeeded"), stripe_refund(n, 2, 500, "failed"),
        ]}),
        other => panic!("nobody should ask for {other}"),
    };
    answer.to_string()
}

#[tokio::test]
async fn any_order_of_stripe_is_one_truth() {
    let story = Story {
        provider: "stripe",
        settings: "",
        rules: &[],
        payment_id: |n| format!("ch_{n}"),
        said: told_by_stripe,
        answered: stripe_answers,
        gross: 5000,
        net: 4000,
    };
    story.play().await;
    let lost = Story {
        said: |n| {
            let mut told = told_by_stripe(n);
            told.truncate(4);
            let lost = stripe_dispute(n, "lost");
            told.push(stripe(n, "lost", "charge.dispute.closed", 900, lost));
            told
        },
        net: 3300,
        ..story
    };
    lost.play().await;
}

fn pats(kind: &str, id: String, status: &str, more: Value) -> Said {
    let mut body = json!({"type": kind, "id": id, "status": status});
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    webhook(body)
}

/// A webhook of Pats names no payment but in the API's answer, and no time: how
/// a refund or a chargeback ended only the API says.
fn told_by_pats(n: usize) -> Vec<Said> {
    let order = json!({"amount": 5000, "merchant_reference": format!("order-{n}")});
    vec![
        Said::Link("reference", format!("order-{n}"), None),
        pats(
            "transaction",
            format!("pay-{n}"),
            "SETTLEMENT_COMPLETED",
            order,
        ),
        pats(
            "refund",
            format!("ref1-{n}"),
            "PROCESSED",
            json!({"amount": 1000}),
        ),
        pats(
            "refund",
            format!("ref2-{n}"),
            "PROCESSED",
            json!({"amount": 500}),
        ),
        pats(
            "refund",
            format!("ref2-{n}"),
            "FAILED",
            json!({"amount": 500}),
        ),
        pats(
            "chargeback",
            format!("back-{n}"),
            "LOST",
            json!({"amount": 700}),
        ),
        pats(
            "chargeback",
            format!("back-{n}"),
            "WON",
            json!({"amount": 700}),
        ),
    ]
}

fn pats_answers(asked: &Asked) -> String {
    let n = number_of(&asked.id);
    let which = asked.id.split('-').next().unwrap();
    if which == "pay" {
        let answer = json!({
            "id": asked.id, "payment_profile": "prof-1", "amount": 5000,
            "status": "SETTLEMENT_COMPLETED", "merchant_reference": format!("order-{n}"),
            "last_status_update": "2026-06-01T00:00:00Z",
        });
        return answer.to_string();
    }
    let (status, amount) = match which {
        "ref1" => ("PROCESSED", 1000),
        "ref2" => ("FAILED", 500),
        _ => ("WON", 700),
    };
    let answer = json!({
        "_id": asked.id, "amount": amount, "status": status,
        "transaction": {"_id": format!("pay-{n}")}, "lastStatusUpdate": "2026-06-02T00:00:00Z",
    });
    answer.to_string()
}

#[tokio::test]
async fn any_order_of_pats_is_one_truth() {
    let story = Story {
        provider: "pats",
        settings: "currency = \"EUR\"",
        rules: &[],
        payment_id: |n| format!("pay-{n}"),
        said: told_by_pats,
        answered: pats_answers,
        gross: 5000,
        net: 4000,
    };
    story.play().await;
}

fn paysafe(n: usize, name: &str, id: &str, amount: i64, more: Value) -> Said {
    let mut payload = json!({
        "id": format!("{id}-{n}"), "merchantRefNum": format!("acme.{n}"), "amount": amount,
        "currencyCode": "USD", "status": name.rsplit('_').next().unwrap(),
        "txnTime": "2026-06-01T00:00:00Z",
    });
    for (field, value) in more.as_object().unwrap() {
        payload[field] = value.clone();
    }
    webhook(json!({
        "payload": payload, "attemptNumber": "1", "eventDate": "2026-06-01T00:00:05Z",
        "eventName": name,
    }))
}

fn told_by_paysafe(n: usize) -> Vec<Said> {
    let with_settlement = json!({
        "paymentType": "CARD", "settleWithAuth": true, "settlementId": format!("pay-{n}"),
    });
    vec![
        paysafe(n, "PAYMENT_COMPLETED", "pay", 5000, with_settlement),
        paysafe(n, "SETTLEMENT_COMPLETED", "pay", 5000, json!({})),
        paysafe(n, "REFUND_COMPLETED", "ref1", 1000, json!({})),
        paysafe(n, "REFUND_COMPLETED", "ref2", 500, json!({})),
        paysafe(n, "REFUND_FAILED", "ref2", 500, json!({})),
    ]
}

#[tokio::test]
async fn any_order_of_paysafe_is_one_truth() {
    let story = Story {
        provider: "paysafe",
        settings: "currency = \"USD\"",
        rules: &["merchantRefNum ~ ^([^.]+)[.]"],
        payment_id: |n| format!("pay-{n}"),
        said: told_by_paysafe,
        answered: nothing,
        gross: 5000,
        net: 4000,
    };
    story.play().await;
    // The bank takes the whole debit back.
    let returned = Story {
        said: |n| {
            let mut told = told_by_paysafe(n);
            told.truncate(3);
            let of = json!({
                "paymentId": format!("pay-{n}"), "settlementId": format!("pay-{n}"),
                "paymentType": "ACH",
            });
            told.push(paysafe(n, "PAYMENT_RETURN_COMPLETED", "ret", 5000, of));
            told
        },
        net: 0,
        ..story
    };
    returned.play().await;
}

/// One transaction in a batch of its own; what goes back is negative.
fn paysight(n: usize, id: &str, application: i64, amount: &str) -> Said {
    let mut element = json!({
        "transactionId": format!("{id}-{n}"), "orderId": n, "sent": "2026-06-01T00:00:00",
        "sandbox": false, "applicationId": application, "status": "Approved", "success": true,
        "currency": "USD", "amount": amount, "partnerSession": format!("visit-{n}"),
        "paysightSession": format!("20260601{n:08}"),
    });
    if application != 100 {
        element["originalTransactionId"] = format!("pay-{n}").into();
    }
    let kept = Kept {
        rest: Some("new-transaction".to_owned()),
        ..Kept::default()
    };
    Said::Webhook(kept, json!([element]).to_string())
}

#[tokio::test]
async fn any_order_of_paysight_is_one_truth() {
    let story = Story {
        provider: "paysight",
        settings: "alerts = true",
        rules: &[],
        payment_id: |n| format!("pay-{n}"),
        // Two refunds, a chargeback, and an alert that is a floor under them.
        said: |n| {
            vec![
                Said::Link("session", format!("visit-{n}"), None),
                paysight(n, "pay", 100, "50.00"),
                paysight(n, "ref1", 200, "-10.00"),
                paysight(n, "ref2", 200, "-5.00"),
                paysight(n, "back", 201, "-7.00"),
                paysight(n, "alert", 202, "-20.00"),
            ]
        },
        answered: nothing,
        gross: 5000,
        net: 2800,
    };
    story.play().await;
    let alerted = Story {
        said: |n| {
            vec![
                Said::Link("session", format!("visit-{n}"), None),
                paysight(n, "pay", 100, "50.00"),
                paysight(n, "ref1", 200, "-10.00"),
                paysight(n, "alert", 202, "-20.00"),
            ]
        },
        net: 3000,
        ..story
    };
    alerted.play().await;
}

fn pyng(n: usize, status: &str, outcome: Option<&str>, minute: usize) -> Said {
    let mut body = json!({
        "checkoutSessionId": format!("cs-{n}"), "orderId": format!("order-{n}"),
        "siteId": "site-1", "status": status, "paymentIntentId": format!("pi-{n}"),
        "transactionId": format!("tx-{n}"), "updatedAt": format!("2026-06-01T12:{minute:02}:00Z"),
    });
    if let Some(outcome) = outcome {
        body["outcome"] = outcome.into();
    }
    webhook(json!({"data": body, "traceId": format!("tr-{minute}-{n}")}))
}

/// Pyng tells neither an amount nor a refund: the order's link says how much.
#[tokio::test]
async fn any_order_of_pyng_is_one_truth() {
    let story = Story {
        provider: "pyng",
        settings: "scheme = \"session\"",
        rules: &[],
        payment_id: |n| format!("cs-{n}"),
        said: |n| {
            vec![
                Said::Link("order", format!("order-{n}"), Some((5000, "AUD"))),
                pyng(n, "Pending", None, 1),
                pyng(n, "Completed", Some("Succeeded"), 2),
            ]
        },
        answered: nothing,
        gross: 5000,
        net: 5000,
    };
    story.play().await;
}
