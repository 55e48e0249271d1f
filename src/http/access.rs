//! Who may use the admin listener: tokens, roles, the limit on failed
//! sign-ins, and the `Host` check that keeps web pages of others away.
//!
//! It does not verify webhooks; providers do. The page's session is not here.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST};
use http::uri::Authority;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::problem::Problem;
use crate::config::{Config, Role, is_loopback};
use crate::time::{Clock, MINUTE_MS, SECOND_MS};

/// How many wrong tokens a minute are answered with 401: a person's typing
/// errors fit, a search does not.
const FAILURES_MAX: u32 = 20;

/// Who called, for the routes behind [`require`] and for what they record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's name.
    pub name: Arc<str>,
    /// Its role.
    pub role: Role,
}

struct Known {
    caller: Caller,
    digest: [u8; 32],
}

/// The tokens that open a listener, and how many wrong ones came lately.
pub struct Access {
    known: RwLock<Arc<[Known]>>,
    failures: Mutex<Failures>,
    clock: Clock,
}

/// Wrong tokens since a moment, in milliseconds since boot.
#[derive(Default)]
struct Failures {
    since_ms: i64,
    count: u32,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({} tokens)", self.known().len())
    }
}

impl Access {
    /// The access that a configuration grants.
    #[must_use]
    pub fn new(config: &Config, clock: Clock) -> Access {
        let access = Access {
            known: RwLock::new(Arc::new([])),
            failures: Mutex::default(),
            clock,
        };
        access.reload(config);
        access
    }

    /// Takes over the tokens of a configuration whose secrets were read again.
    /// One whose secret was never read opens nothing.
    pub fn reload(&self, config: &Config) {
        let secrets = config.secrets();
        let known: Arc<[Known]> = config
            .http
            .tokens
            .iter()
            .zip(secrets.tokens())
            .map(|(token, value)| Known {
                caller: Caller {
                    name: token.name.as_str().into(),
                    role: token.role,
                },
                digest: digest_of(value),
            })
            .collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn known(&self) -> Arc<[Known]> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who sends these headers, if they may do what `need` may.
    ///
    /// # Errors
    /// 401 without a known token, 403 where its role is another, 429 after too
    /// many wrong ones; a right token is let in even then.
    pub fn check(&self, headers: &HeaderMap, need: Role) -> Result<Caller, Problem> {
        let Some(token) = bearer(headers) else {
            return Err(Problem::unauthorized("send Authorization: Bearer TOKEN"));
        };
        let Some(caller) = self.find(&token) else {
            return Err(self.refuse());
        };
        match allows(caller.role, need) {
            true => Ok(caller),
            false => Err(Problem::forbidden("the token's role does not allow this")),
        }
    }

    /// The owner of a token. Every configured token is compared, by digest, so
    /// that the time taken tells neither how near a guess was nor whose it is.
    #[must_use]
    pub fn find(&self, token: &SecretString) -> Option<Caller> {
        let digest = digest_of(token);
        let known = self.known();
        let mut found = None;
        for one in known.iter() {
            let same: Choice = one.digest.ct_eq(&digest);
            if bool::from(same) {
                found = Some(one.caller.clone());
            }
        }
        found
    }

    /// Signs a text with a key made of the token of this name, for one use only;
    /// hex. `None` where there is no such token.
    pub(super) fn sign(&self, name: &str, r#use: &str, text: &str) -> Option<String> {
        let known = self.known();
        let one = known.iter().find(|one| *one.caller.name == *name)?;
        let signature = signed(&one.digest, r#use, text)?.finalize().into_bytes();
        Some(hex::encode(signature))
    }

    /// The owner of the token that signed a text for this use.
    pub(super) fn verify(
        &self,
        name: &str,
        r#use: &str,
        text: &str,
        signature: &str,
    ) -> Option<Caller> {
        let signature = hex::decode(signature).ok()?;
        let known = self.known();
        let one = known.iter().find(|one| *one.caller.name == *name)?;
        let same = signed(&one.digest, r#use, text)?.verify_slice(&signature);
        same.is_ok().then(|| one.caller.clone())
    }

    /// Counts a wrong token and says what to answer.
    pub fn refuse(&self) -> Problem {
        let now_ms = self.clock.read().boot_ms;
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.count == 0 || now_ms.saturating_sub(failures.since_ms) >= MINUTE_MS {
            *failures = Failures {
                since_ms: now_ms,
                count: 0,
            };
        }
        failures.count = failures.count.saturating_add(1);
        if failures.count <= FAILURES_MAX {
            return Problem::unauthorized("the token is not known here");
        }
        let left_ms = MINUTE_MS - now_ms.saturating_sub(failures.since_ms);
        let left_s = u32::try_from(left_ms / SECOND_MS).unwrap_or(0) + 1;
        Problem::too_many("too many wrong tokens", left_s)
    }
}

/// Whether a role may do what another names. They are no ladder: a linker
/// belongs to the merchant's back end and reads no money.
pub(super) fn allows(has: Role, need: Role) -> bool {
    has == Role::Operator || has == need
}

/// A signature in the making. The key is no token and opens nothing by itself.
fn signed(digest: &[u8; 32], r#use: &str, text: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(digest).ok()?;
    mac.update(r#use.as_bytes());
    mac.update(b"\n");
    mac.update(text.as_bytes());
    Some(mac)
}

fn digest_of(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret().as_bytes()).into()
}

/// The token of exactly one `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| SecretString::from(token))
}

/// Lets only callers through who may do what `need` may; behind it a route
/// takes `Extension<Caller>`. It covers the routes that are in the router
/// already, of which there must be one; routers with other needs are merged
/// afterwards.
pub fn require<S>(need: Role, access: &Arc<Access>, router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.route_layer(from_fn_with_state((Arc::clone(access), need), let_in))
}

async fn let_in(
    State((access, need)): State<(Arc<Access>, Role)>,
    mut request: Request,
    next: Next,
) -> Response {
    match access.check(request.headers(), need) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// On a loopback listener, answers only requests that name this machine as
/// such: a web page elsewhere can point its own name at 127.0.0.1 and would
/// then speak to us from the operator's browser.
pub fn guard_host<S>(listens_on: SocketAddr, router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    match listens_on.ip().to_canonical().is_loopback() {
        true => router.layer(from_fn(check_host)),
        false => router,
    }
}

async fn check_host(request: Request, next: Next) -> Response {
    match names_this_machine(&request) {
        true => next.run(request).await,
        false => Problem::misdirected(
            "this listener is reached as localhost only; forward to it with that Host",
        )
        .into_response(),
    }
}

/// Every name given must be local, and one must be given.
fn names_this_machine(request: &Request) -> bool {
    let hosts = request.headers().get_all(HOST);
    let named = hosts.iter().count() == 1
        && hosts.iter().all(|value| {
            value
                .to_str()
                .ok()
                .and_then(|text| text.parse::<Authority>().ok())
                .is_some_and(|authority| is_local(&authority))
        });
    named && request.uri().authority().is_none_or(is_local)
}

fn is_local(authority: &Authority) -> bool {
    !authority.as_str().contains('@') && is_loopback(authority.host())
}
