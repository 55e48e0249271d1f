//! The API's document, OpenAPI 3.1, written from the types that the API reads and
//! answers with. The routes are made from the same list, so that neither can have
//! what the other has not. It describes no page and no webhook.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::response::Response;
use http::HeaderMap;
use serde_json::{Value, json};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, Info, ObjectBuilder, OpenApi, OpenApiBuilder, PathItem, RefOr,
    Response as Answer, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::{api, etag, problem};
use crate::config::Role;
use crate::day::{Day, Month};
use crate::money::Currency;
use crate::report::Group;
use crate::time::Time;

/// The name of the way to prove oneself.
const TOKEN: &str = "token";

/// The document as it is sent, with its tag.
struct Written {
    body: Bytes,
    tag: String,
}

static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    let body = serde_json::to_vec(&document()).unwrap_or_default();
    Written {
        tag: etag::tag_of(&body, false),
        body: body.into(),
    }
});

/// This document. It takes no token.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value), (status = 304, description = "as the caller has it"))
)]
pub(super) async fn openapi(headers: HeaderMap) -> Response {
    etag::tagged(&headers, &WRITTEN.tag, WRITTEN.body.clone())
}

/// All routes of the API with who may use them.
fn document() -> OpenApi {
    let mut info = Info::new("Tributary", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    let mut document = OpenApiBuilder::new().info(info).build();
    for (role, part) in api::parts() {
        let (_, mut part) = part.split_for_parts();
        for item in part.paths.paths.values_mut() {
            mark(item, role);
        }
        document.merge(part);
    }
    let components = document.components.get_or_insert_with(Components::new);
    let problem = (Problem::name().into_owned(), Problem::schema());
    components.schemas.extend([problem]);
    components.add_security_scheme(
        TOKEN,
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    );
    document
}

/// What readers of the document should know first.
const ABOUT: &str = "Amounts are whole minor units of the currency beside them; currencies are \
    never added. Times are RFC 3339 in UTC unless a field says otherwise. Lists answer `items` and \
    `next_cursor`, null at the end. Errors are RFC 9457 problems with stable types. A token's role \
    is `viewer`, `linker` or `operator`; an operator may do everything.";

/// Says who may use the operations of a path, and what a problem looks like.
fn mark(item: &mut PathItem, role: Option<Role>) {
    let all = [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
    ];
    for operation in all.into_iter().flatten() {
        if let Some(role) = role {
            let none: [&str; 0] = [];
            operation.security = Some(vec![SecurityRequirement::new(TOKEN, none)]);
            let role = serde_json::to_value(role).unwrap_or_default();
            operation.extensions = Some([("x-role", role)].into_iter().collect());
            for (status, description) in ALWAYS {
                let answers = &mut operation.responses.responses;
                let answer = || RefOr::T(Answer::new(description));
                answers.entry(status.to_owned()).or_insert_with(answer);
            }
        }
        for (status, answer) in &mut operation.responses.responses {
            let RefOr::T(answer) = answer else {
                continue;
            };
            if status.as_str() >= "400" {
                let body = Content::new(Some(utoipa::openapi::Ref::from_schema_name(
                    Problem::name(),
                )));
                let kind = "application/problem+json".to_owned();
                answer.content.insert(kind, RefOr::T(body));
            }
        }
    }
}

/// What every operation that takes a token may answer.
const ALWAYS: [(&str, &str); 5] = [
    ("401", "no token, or one that is not known"),
    ("403", "the token's role does not allow it"),
    (
        "421",
        "on a loopback address: the Host header names another machine",
    ),
    (
        "429",
        "too many wrong tokens; Retry-After says when to come again",
    ),
    (
        "503",
        "the ledger cannot take it or be read now; Retry-After says when",
    ),
];

/// An error as RFC 9457 has it.
struct Problem;

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let types: Vec<Value> = problem::types().map(|it| json!(it)).collect();
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("An error as RFC 9457 has it."))
            .property("type", text().enum_values(Some(types)))
            .property("title", text())
            .property("status", ObjectBuilder::new().schema_type(Type::Integer))
            .property("detail", text())
            .required("type")
            .required("title")
            .required("status")
            .required("detail")
            .into()
    }
}

impl ToSchema for Problem {}

/// A text of one form.
fn text(description: &str, pattern: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .into()
}

impl PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        text("ISO 4217.", "^[A-Z]{3}$")
    }
}

impl ToSchema for Currency {}

impl PartialSchema for Day {
    fn schema() -> RefOr<Schema> {
        text("A day.", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    }
}

impl ToSchema for Day {}

impl PartialSchema for Month {
    fn schema() -> RefOr<Schema> {
        text("A month.", "^[0-9]{4}-[0-9]{2}$")
    }
}

impl ToSchema for Month {}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("Milliseconds since 1970 in UTC."))
            .into()
    }
}

impl ToSchema for Time {}

/// What a line is about: each report has the fields of its own groups, a total none.
impl PartialSchema for Group {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let or_null = || {
            let types = [Type::String, Type::Null];
            ObjectBuilder::new().schema_type(
                types
                    .into_iter()
                    .collect::<utoipa::openapi::schema::SchemaType>(),
            )
        };
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("destination", or_null())
            .property("customer_key", or_null())
            .property("partner_key", or_null())
            .property(
                "attributed",
                ObjectBuilder::new().schema_type(Type::Boolean),
            )
            .property("source", text())
            .property("day", Day::schema())
            .property("month", Month::schema())
            .into()
    }
}

impl ToSchema for Group {
    fn name() -> std::borrow::Cow<'static, str> {
        "ReportGroup".into()
    }
}
