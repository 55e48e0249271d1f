//! Rows as JSON, in the shapes the two APIs show them. Fields that no evidence
//! shows on the real objects are left out, so that no client comes to need them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::books::{Books, Customer, Half, Partner, Reward, Transaction};

/// The one currency whose rows have an `amount_usd`: there are no exchange rates here.
const USD: &str = "USD";

/// What a partner's customers brought, as `stats` shows it. Cents are of rows in
/// US dollars only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stats {
    customers: i64,
    paid_accounts: i64,
    revenue_cents: i64,
    commission_cents: i64,
}

/// A v2 transaction. `customer_key` is the internal key.
pub(super) fn transaction(half: &Half, row: &Transaction) -> Value {
    let usd = (row.currency == USD).then_some(row.amount);
    json!({
        "key": row.key,
        "amount": row.amount,
        "amount_usd": usd,
        "approved": true,
        "category_key": row.category_key,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "currency": row.currency,
        "customer": half.customers.first(&row.customer_key).map(customer_brief),
        "customer_key": row.customer_key,
        "extension": {},
        "product_key": row.product_key,
        "metadata": row.metadata,
    })
}

/// A v1 transaction: it names the partner, and its customer by external key.
pub(super) fn transaction_v1(half: &Half, row: &Transaction) -> Value {
    let partner_key = half
        .customers
        .first(&row.customer_key)
        .map(|customer| customer.partner_key.as_str());
    json!({
        "key": row.key,
        "customer_key": row.customer_external_key.as_ref().unwrap_or(&row.customer_key),
        "partner_key": partner_key,
        "amount": row.amount,
        "currency": row.currency,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "test": row.test,
    })
}

fn customer_brief(row: &Customer) -> Value {
    json!({
        "key": row.key,
        "customer_key": row.external_key,
        "email": row.email,
        "name": row.name,
    })
}

/// A v2 customer: `key` is internal, `customer_key` is the merchant's own.
pub(super) fn customer(books: &Books, row: &Customer) -> Value {
    json!({
        "key": row.key,
        "customer_key": row.external_key,
        "provider_key": row.provider_key,
        "email": row.email,
        "name": row.name,
        "partner_key": row.partner_key,
        "partnership_key": books.partner(&row.partner_key).map(|partner| &partner.key),
        "source_key": null,
        "source_type": "api",
        "meta": row.meta,
        "field_data": {},
        "fields": [],
        "test": row.test,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    })
}

/// A v1 customer: `key` is the merchant's own.
pub(super) fn customer_v1(row: &Customer) -> Value {
    json!({
        "key": row.external_key.as_ref().unwrap_or(&row.key),
        "provider_key": row.provider_key,
        "name": row.name,
        "email": row.email,
        "partner_key": row.partner_key,
        "test": row.test,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    })
}

/// A v2 reward, with the transaction it is for.
pub(super) fn reward(books: &Books, half: &Half, row: &Reward) -> Value {
    let sale = half
        .transactions
        .rows()
        .get(row.transaction)
        .map(|sale| json!({"key": sale.key, "amount": sale.amount, "currency": sale.currency}));
    json!({
        "key": row.key,
        "amount": row.amount,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "description": null,
        "reward_status": row.status,
        "archived": row.archived,
        "action": null,
        "customer": half.customers.first(&row.customer_key).map(customer_brief),
        "invoice": null,
        "offer": null,
        "partnership": books.partner(&row.partner_key).map(partner_brief),
        "transaction": sale,
        "trigger": null,
    })
}

fn partner_brief(row: &Partner) -> Value {
    json!({
        "key": row.key,
        "partner_key": row.partner_key,
        "email": row.email,
    })
}

/// A v2 partnership with its figures.
pub(super) fn partnership(row: &Partner, stats: Stats) -> Value {
    json!({
        "key": row.key,
        "partner_key": row.partner_key,
        "email": row.email,
        "first_name": row.first_name,
        "last_name": row.last_name,
        "team": {"name": format!("{} {}", row.first_name, row.last_name).trim()},
        "group": {"slug": "default"},
        "joined_at": row.created_at,
        "created_at": row.created_at,
        "stats": {
            "CUSTOMER_COUNT": stats.customers,
            "PAID_ACCOUNT_COUNT": stats.paid_accounts,
            "REVENUE": stats.revenue_cents,
            "COMMISSION_EARNED": stats.commission_cents,
        },
    })
}

/// Every partner's figures, by the partner's own key, in one pass over the live
/// rows. Test rows count for nobody.
pub(super) fn stats(books: &Books) -> BTreeMap<String, Stats> {
    let half = &books.live;
    let mut all = BTreeMap::<String, Stats>::new();
    let mut paid = BTreeMap::<&str, i64>::new();
    for row in half.transactions.rows().iter().filter(|row| !row.archived) {
        let usd = if row.currency == USD { row.amount } else { 0 };
        let sum = paid.entry(&row.customer_key).or_default();
        *sum = sum.saturating_add(usd);
    }
    for customer in half.customers.rows() {
        let stats = all.entry(customer.partner_key.clone()).or_default();
        if !customer.archived {
            stats.customers += 1;
        }
        if let Some(usd) = paid.get(customer.key.as_str()) {
            stats.paid_accounts += 1;
            stats.revenue_cents = stats.revenue_cents.saturating_add(*usd);
        }
    }
    for row in half.rewards.rows() {
        if !row.archived && row.currency == USD {
            let stats = all.entry(row.partner_key.clone()).or_default();
            stats.commission_cents = stats.commission_cents.saturating_add(row.amount);
        }
    }
    all
}
