//! The calls under `/api/v2`: which fields they take and what they show. What is
//! allowed is decided in `verbs`.

use axum::Extension;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, get};
use http::{HeaderMap, Uri};
use serde_json::{Value, json};

use super::Sandbox;
use super::answer::{Api, Done, Refusal};
use super::books::{Customer, Mode, Who};
use super::fields::{EMAIL_CHARS, Fields, KEY_CHARS, NAME_CHARS, TRANSACTION_KEY_CHARS, required};
use super::gate::Caller;
use super::listing::{Listing, Page};
use super::verbs::{CustomerChange, NewCustomer, NewTransaction};
use super::view;

/// What every list says when it worked. Documented.
const PAGE_MESSAGE: &str = "Page returned successfully";

pub(super) fn routes() -> Router<Sandbox> {
    Router::new()
        .route(
            "/api/v2/transactions",
            get(list_transactions).post(post_transaction),
        )
        .route("/api/v2/transactions/{key}", delete(delete_transaction))
        .route("/api/v2/customers", get(list_customers).post(post_customer))
        .route(
            "/api/v2/customers/{key}",
            get(one_customer)
                .patch(patch_customer)
                .delete(delete_customer),
        )
        .route(
            "/api/v2/partnerships",
            get(list_partners).post(post_partner),
        )
        .route("/api/v2/partnerships/{id}", get(one_partner))
        .route("/api/v2/rewards", get(list_rewards))
}

async fn post_transaction(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = read_transaction(caller.mode, &headers, &body).and_then(|new| {
        let mut core = sandbox.core();
        let (row, committed) = core.post_transaction(caller.mode, new, caller.lag_ms)?;
        Ok(Done {
            object: view::transaction(core.books.half(caller.mode), &row),
            message: "Transaction created",
            committed,
        })
    });
    Api::V2.answer(outcome)
}

fn read_transaction(
    mode: Mode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<NewTransaction, Refusal> {
    let mut fields = Fields::open(headers, body)?;
    let who = read_who(&mut fields)?;
    let new = NewTransaction {
        who,
        amount: fields.amount()?,
        currency: fields.currency()?,
        key: fields.text("key", TRANSACTION_KEY_CHARS)?,
        category_key: fields.nullable_text("category_key", KEY_CHARS)?.flatten(),
        product_key: fields.nullable_text("product_key", KEY_CHARS)?.flatten(),
        member_key: fields.nullable_text("member_key", KEY_CHARS)?.flatten(),
        subscription_key: fields
            .nullable_text("subscription_key", KEY_CHARS)?
            .flatten(),
        metadata: fields.metadata()?,
        created_at: fields.integer("created_at")?,
    };
    if fields
        .flag("test")?
        .is_some_and(|test| test != (mode == Mode::Test))
    {
        return Err(Refusal::invalid(
            "test: the key pair decides whether a transaction is a test",
        ));
    }
    fields.close()?;
    Ok(new)
}

fn read_who(fields: &mut Fields) -> Result<Who, Refusal> {
    let internal = fields.text("customer_key", KEY_CHARS)?;
    let external = fields.text("customer_external_key", KEY_CHARS)?;
    let email = fields.text("customer_email", EMAIL_CHARS)?;
    match (internal, external, email) {
        (Some(key), None, None) => Ok(Who::Internal(key)),
        (None, Some(key), None) => Ok(Who::External(key)),
        (None, None, Some(email)) => Ok(Who::Email(email)),
        _ => Err(Refusal::invalid(
            "exactly one of customer_key, customer_external_key and customer_email is required",
        )),
    }
}

async fn list_transactions(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Response {
    let outcome = Listing::read(&uri, &[]).and_then(|listing| {
        let core = sandbox.core();
        let half = core.books.half(caller.mode);
        let now_ms = core.settings.now_ms();
        let page = half
            .transactions
            .page(&listing, |row| !row.archived && row.visible_at <= now_ms)?;
        Ok(listed(page, |row| view::transaction(half, row)))
    });
    Api::V2.answer(outcome)
}

async fn delete_transaction(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    Path(key): Path<String>,
) -> Response {
    let mut core = sandbox.core();
    let outcome = core.delete_transaction(caller.mode, &key).map(|row| {
        let half = core.books.half(caller.mode);
        Done::changed(view::transaction(half, &row), "Transaction deleted")
    });
    Api::V2.answer(outcome)
}

async fn post_customer(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = read_customer(caller.mode, &headers, &body).and_then(|new| {
        let mut core = sandbox.core();
        let row = core.post_customer(caller.mode, new, caller.lag_ms)?;
        Ok(Done::changed(
            view::customer(&core.books, &row),
            "Customer created",
        ))
    });
    Api::V2.answer(outcome)
}

fn read_customer(mode: Mode, headers: &HeaderMap, body: &[u8]) -> Result<NewCustomer, Refusal> {
    let mut fields = Fields::open(headers, body)?;
    let new = NewCustomer {
        external_key: required(
            "customer_key",
            fields.nullable_text("customer_key", KEY_CHARS)?,
        )?,
        email: required("email", fields.text("email", EMAIL_CHARS)?)?,
        partner_key: required("partner_key", fields.text("partner_key", KEY_CHARS)?)?,
        name: fields.text("name", NAME_CHARS)?,
        provider_key: fields.nullable_text("provider_key", KEY_CHARS)?.flatten(),
        member_key: fields.nullable_text("member_key", KEY_CHARS)?.flatten(),
        meta: fields.object("meta")?.unwrap_or_default(),
        test: mode == Mode::Test,
    };
    fields.close()?;
    Ok(new)
}

async fn list_customers(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Response {
    let known = ["min_updated", "max_updated", "partner_key"];
    let outcome = Listing::read(&uri, &known).and_then(|listing| {
        let updated = listing.time("min_updated")?.unwrap_or(i64::MIN)
            ..=listing.time("max_updated")?.unwrap_or(i64::MAX);
        let partner_key = listing.filter("partner_key");
        let core = sandbox.core();
        let now_ms = core.settings.now_ms();
        let keep = |row: &Customer| {
            !row.archived
                && row.visible_at <= now_ms
                && updated.contains(&row.updated_at)
                && partner_key.is_none_or(|key| key == row.partner_key)
        };
        let page = core
            .books
            .half(caller.mode)
            .customers
            .page(&listing, keep)?;
        Ok(listed(page, |row| view::customer(&core.books, row)))
    });
    Api::V2.answer(outcome)
}

async fn one_customer(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    Path(key): Path<String>,
) -> Response {
    let core = sandbox.core();
    let outcome = known_customer(&core, caller.mode, key)
        .and_then(|who| core.customer(caller.mode, &who))
        .map(|row| Done::found(view::customer(&core.books, row), "Customer returned"));
    Api::V2.answer(outcome)
}

async fn patch_customer(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = read_change(&headers, &body).and_then(|change| {
        let mut core = sandbox.core();
        let who = known_customer(&core, caller.mode, key)?;
        let row = core.change_customer(caller.mode, &who, change)?;
        Ok(Done::changed(
            view::customer(&core.books, &row),
            "Customer updated",
        ))
    });
    Api::V2.answer(outcome)
}

fn read_change(headers: &HeaderMap, body: &[u8]) -> Result<CustomerChange, Refusal> {
    let mut fields = Fields::open(headers, body)?;
    let change = CustomerChange {
        external_key: fields.nullable_text("customer_key", KEY_CHARS)?,
        email: fields.text("email", EMAIL_CHARS)?,
        name: fields.text("name", NAME_CHARS)?,
        provider_key: fields.nullable_text("provider_key", KEY_CHARS)?,
        member_key: fields.nullable_text("member_key", KEY_CHARS)?,
        meta: fields.object("meta")?,
    };
    fields.close()?;
    Ok(change)
}

async fn delete_customer(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    Path(key): Path<String>,
) -> Response {
    let mut core = sandbox.core();
    let outcome = known_customer(&core, caller.mode, key)
        .and_then(|who| core.archive_customer(caller.mode, &who))
        .map(|row| Done::changed(view::customer(&core.books, &row), "Customer deleted"));
    Api::V2.answer(outcome)
}

/// A customer in a v2 path: by external key as documented, or by the internal
/// key, without which a customer that has no external key could not be reached.
fn known_customer(core: &super::verbs::Core, mode: Mode, key: String) -> Result<Who, Refusal> {
    let external = Who::External(key.clone());
    if core.customer(mode, &external).is_ok() {
        return Ok(external);
    }
    let internal = Who::Internal(key);
    core.customer(mode, &internal).map(|_| internal.clone())
}

async fn list_partners(State(sandbox): State<Sandbox>, uri: Uri) -> Response {
    let outcome = Listing::read(&uri, &[]).and_then(|listing| {
        let core = sandbox.core();
        let stats = view::stats(&core.books);
        let page = core.books.partners.page(&listing, |_| true)?;
        Ok(listed(page, |row| {
            let stats = stats.get(&row.partner_key).copied();
            view::partnership(row, stats.unwrap_or_default())
        }))
    });
    Api::V2.answer(outcome)
}

async fn post_partner(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let outcome = Fields::open(&headers, &body).and_then(|mut fields| {
        let email = required("email", fields.text("email", EMAIL_CHARS)?)?;
        let partner_key = fields.text("partner_key", KEY_CHARS)?;
        let first_name = fields.text("first_name", NAME_CHARS)?.unwrap_or_default();
        let last_name = fields.text("last_name", NAME_CHARS)?.unwrap_or_default();
        fields.close()?;
        let mut core = sandbox.core();
        let row = core.post_partner(partner_key, &email, &first_name, &last_name)?;
        let stats = view::Stats::default();
        Ok(Done::changed(
            view::partnership(&row, stats),
            "Partnership created",
        ))
    });
    Api::V2.answer(outcome)
}

async fn one_partner(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    let core = sandbox.core();
    let found = core
        .books
        .partners
        .rows()
        .iter()
        .find(|row| [&row.partner_key, &row.key, &row.email].contains(&&id));
    let outcome = found
        .map(|row| {
            let stats = view::stats(&core.books).get(&row.partner_key).copied();
            Done::found(
                view::partnership(row, stats.unwrap_or_default()),
                "Partnership returned",
            )
        })
        .ok_or_else(|| Refusal::unknown("there is no such partnership"));
    Api::V2.answer(outcome)
}

async fn list_rewards(
    State(sandbox): State<Sandbox>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Response {
    let known = ["customer_key", "hide_archived_rewards"];
    let outcome = Listing::read(&uri, &known).and_then(|listing| {
        let hide_archived = listing.flag("hide_archived_rewards")?;
        let customer_key = listing.filter("customer_key");
        let core = sandbox.core();
        let half = core.books.half(caller.mode);
        let page = half.rewards.page(&listing, |row| {
            !(hide_archived && row.archived)
                && customer_key.is_none_or(|key| key == row.customer_key)
        })?;
        Ok(listed(page, |row| view::reward(&core.books, half, row)))
    });
    Api::V2.answer(outcome)
}

fn listed<T>(page: Page<'_, T>, show: impl Fn(&T) -> Value) -> Done {
    let items: Vec<Value> = page.rows.into_iter().map(show).collect();
    Done::found(
        json!({"has_more": page.has_more, "items": items}),
        PAGE_MESSAGE,
    )
}
