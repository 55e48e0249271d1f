//! The page: what partner managers look at, rendered here and complete without a
//! script.
//!
//! Each file is one part of it; texts are in `templates`, the look in `assets`.
//! What a page shows comes from `ops` and the ledger, which the API and the
//! command line share; nothing is added up here. A browser signs in with a token
//! of the configuration; see `session`.

mod assets;
mod chart;
mod form;
mod imports;
mod links;
mod overview;
mod payment;
mod payments;
mod people;
mod range;
mod report;
mod session;
mod sign_in;
mod unattributed;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};

use super::access::{Access, Caller, allows};
use super::api::Admin;
use super::problem::Problem;
use crate::app::App;
use crate::config::Role;
use crate::time::Clock;
use session::{Session, Sessions};

/// Everything comes from here, nothing is written into a page, no other page may
/// hold it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The menu: where it leads, what it says, and the part of the page that it is.
pub(super) const MENU: [(&str, &str, &str); 7] = [
    ("/", "Overview", "overview"),
    ("/payments", "Payments", "payments"),
    ("/unattributed", "Unattributed", "unattributed"),
    ("/customers", "Customers", "customers"),
    ("/partners", "Partners", "partners"),
    ("/imports", "Imports", "imports"),
    ("/report", "Report", "report"),
];

/// What every page carries besides the policy.
const HEADERS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // Not "no-referrer": then a browser would not say where a form comes from.
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
];

/// What all pages share.
pub(super) struct Shell {
    access: Arc<Access>,
    sessions: Sessions,
    clock: Clock,
}

/// The page's routes, each with its role.
pub(super) fn router(app: &App, access: &Arc<Access>) -> Router<Arc<Admin>> {
    let shell = Arc::new(Shell {
        access: Arc::clone(access),
        sessions: Sessions::new(app.config.http.admin),
        clock: app.clock.clone(),
    });
    let viewer = Router::new()
        .route("/", get(overview::show))
        .route("/payments", get(payments::show))
        .route("/payments.csv", get(super::payments::payments_csv))
        .route("/report.json", get(super::report::report))
        .route("/unattributed", get(unattributed::show))
        .route("/customers", get(people::customers))
        .route("/partners", get(people::partners))
        .route("/report.csv", get(report::csv))
        .route("/imports", get(imports::show))
        .route("/imports/{id}", get(imports::one))
        .route("/payments/{source}/{payment_id}", get(payment::show))
        .route("/report", get(report::show))
        .route("/sign-out", post(sign_in::end));
    let operator = Router::new()
        .route(
            "/payments/{source}/{payment_id}/{decision}",
            post(payment::decide),
        )
        .route("/unattributed/link", post(unattributed::link))
        .route("/imports/{id}/report.csv", get(super::imports::report))
        .merge(imports::takes_files());
    let linker = Router::new().route("/links", get(links::show).post(links::add));
    let open = Router::new()
        .route("/sign-in", get(sign_in::show).post(sign_in::begin))
        .route("/assets/{version}/{name}", get(assets::show));
    let behind = |need: Role, router: Router<Arc<Admin>>| {
        router.route_layer(from_fn_with_state((Arc::clone(&shell), need), let_in))
    };
    behind(Role::Viewer, viewer)
        .merge(behind(Role::Operator, operator))
        .merge(behind(Role::Linker, linker))
        .merge(open)
        .layer(from_fn(headers))
        .layer(Extension(Arc::clone(&shell)))
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets in who is signed in and may do what `need` may; sends others to sign in.
/// A token is taken as well, for reading.
async fn let_in(
    State((shell, need)): State<(Arc<Shell>, Role)>,
    mut request: Request,
    next: Next,
) -> Response {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    if reads && request.headers().contains_key(AUTHORIZATION) {
        return match shell.access.check(request.headers(), need) {
            Ok(caller) => {
                request.extensions_mut().insert(caller.clone());
                request.extensions_mut().insert(Session::of_token(caller));
                next.run(request).await
            }
            Err(problem) => problem.into_response(),
        };
    }
    let now = shell.clock.now();
    let found = shell.sessions.find(&shell.access, request.headers(), now);
    let Some(session) = found else {
        let place = request.uri().path_and_query();
        let next_place = place.filter(|_| reads).map(ToString::to_string);
        return sign_in::send_there(next_place.as_deref(), reads).into_response();
    };
    if !allows(session.caller.role, need) {
        if session.caller.role == Role::Linker && reads {
            return Redirect::to("/links").into_response();
        }
        let why = format!(
            "the token \"{}\" may not do this: its role is {}",
            session.caller.name,
            words::role(session.caller.role)
        );
        return Refused(Problem::forbidden(why)).into_response();
    }
    // For the API's own routes, of which some stand here too.
    request.extensions_mut().insert(session.caller.clone());
    request.extensions_mut().insert(session);
    next.run(request).await
}

/// What stands around every page of somebody who is signed in.
pub(super) struct Frame {
    title: String,
    /// The part of the page that the menu marks.
    here: &'static str,
    who: String,
    role: &'static str,
    form_token: String,
    reads_money: bool,
    operates: bool,
    links: bool,
    /// What was done just now, or why it was not.
    told: Option<Told>,
}

/// A line at the top of a page.
pub(super) struct Told {
    /// False where it was not done.
    well: bool,
    text: String,
}

impl Frame {
    fn new(session: &Session, here: &'static str, title: impl Into<String>) -> Frame {
        let Caller { name, role } = &session.caller;
        Frame {
            title: title.into(),
            here,
            who: name.to_string(),
            role: words::role(*role),
            form_token: session.form_token.clone(),
            reads_money: allows(*role, Role::Viewer),
            // A token sent with the request opens no form.
            operates: allows(*role, Role::Operator) && session.has_forms(),
            links: allows(*role, Role::Linker) && session.has_forms(),
            told: None,
        }
    }
}

/// A request that was refused, as a page.
pub(super) struct Refused(pub(super) Problem);

impl<E: Into<Problem>> From<E> for Refused {
    fn from(error: E) -> Refused {
        Refused(error.into())
    }
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    title: &'a str,
    detail: &'a str,
    status: u16,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let page = RefusedPage {
            title: self.0.title(),
            detail: self.0.detail(),
            status: self.0.status().as_u16(),
        };
        let html = page.render();
        match html {
            Ok(html) => (self.0.status(), Html(html)).into_response(),
            Err(_) => self.0.into_response(),
        }
    }
}

/// A page as an answer.
fn page(template: &impl Template) -> Result<Response, Refused> {
    match template.render() {
        Ok(html) => Ok((StatusCode::OK, Html(html)).into_response()),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            Err(Refused(Problem::unavailable(
                "the page cannot be shown",
                60,
            )))
        }
    }
}
