//! Who looks at the page: a session that a token opened.
//!
//! A session is a cookie that says whose it is and until when, signed with a key
//! made of the token. Nothing of it is kept here, so every replica knows it, a
//! restart ends none, and a token that is changed ends all of its own. What is
//! kept is which sessions were ended by hand. It verifies no webhook and no
//! `Authorization` header; `access` does the latter.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{COOKIE, HOST, ORIGIN};

use crate::http::access::{Access, Caller};
use crate::time::{SECOND_MS, Time};

/// How long a session lasts, in seconds: a working day.
const LASTS_S: i64 = 12 * 60 * 60;

/// What a session's signature is made for, and for nothing else.
const COOKIE_USE: &str = "session cookie";

/// The same of the token in every form.
const FORM_USE: &str = "session form";

/// A session that holds.
#[derive(Clone)]
pub(super) struct Session {
    /// Whose it is.
    pub(super) caller: Caller,
    /// What every form sends back, so that no other page can send one.
    pub(super) form_token: String,
    /// The cookie's text.
    text: String,
    /// Until when it holds, in seconds since 1970.
    until_s: i64,
}

impl Session {
    /// For one request that brought the token itself: it reads and sends no form.
    pub(super) fn of_token(caller: Caller) -> Session {
        Session {
            caller,
            form_token: String::new(),
            text: String::new(),
            until_s: 0,
        }
    }

    /// Whether its pages have forms.
    pub(super) fn has_forms(&self) -> bool {
        !self.form_token.is_empty()
    }
}

/// Makes sessions, knows them again and ends them.
pub(super) struct Sessions {
    cookie: String,
    secure: bool,
    /// Those ended by hand, until they would have ended by themselves.
    ended: Mutex<BTreeMap<String, i64>>,
}

impl Sessions {
    /// Sessions of a listener. Cookies are told apart by its port, because a
    /// browser sends those of one host to all of its ports. Beyond this machine
    /// they go over HTTPS only.
    pub(super) fn new(listens_on: std::net::SocketAddr) -> Sessions {
        Sessions {
            cookie: format!("tributary_{}", listens_on.port()),
            secure: !listens_on.ip().to_canonical().is_loopback(),
            ended: Mutex::default(),
        }
    }

    /// The `Set-Cookie` of a new session.
    pub(super) fn begin(&self, access: &Access, caller: &Caller, now: Time) -> Option<String> {
        let until_s = now.ms() / SECOND_MS + LASTS_S;
        let name = BASE64_URL_SAFE_NO_PAD.encode(caller.name.as_bytes());
        let once = hex::encode(rand::random::<[u8; 16]>());
        let told = format!("{name}.{until_s}.{once}");
        let signature = access.sign(&caller.name, COOKIE_USE, &told)?;
        let value = format!("{told}.{signature}");
        Some(self.set_cookie(&value, LASTS_S))
    }

    /// Ends a session; answers the `Set-Cookie` that takes it away.
    pub(super) fn end(&self, session: &Session, now: Time) -> String {
        let now_s = now.ms() / SECOND_MS;
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, until_s| *until_s > now_s);
        ended.insert(session.text.clone(), session.until_s);
        self.set_cookie("", 0)
    }

    fn set_cookie(&self, value: &str, lasts_s: i64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={lasts_s}{secure}",
            self.cookie
        )
    }

    /// The session that a request belongs to, if it holds.
    pub(super) fn find(&self, access: &Access, headers: &HeaderMap, now: Time) -> Option<Session> {
        let text = cookie(headers, &self.cookie)?;
        let (told, signature) = text.rsplit_once('.')?;
        let mut parts = told.split('.');
        let name = BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        let name = String::from_utf8(name).ok()?;
        let until_s: i64 = parts.next()?.parse().ok()?;
        let caller = access.verify(&name, COOKIE_USE, told, signature)?;
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if until_s <= now.ms() / SECOND_MS || ended.contains_key(text) {
            return None;
        }
        Some(Session {
            form_token: access.sign(&name, FORM_USE, text)?,
            caller,
            text: text.to_owned(),
            until_s,
        })
    }

    /// Whether a form came from a page of this session.
    pub(super) fn sent(&self, access: &Access, session: &Session, form_token: &str) -> bool {
        let name = &session.caller.name;
        let verified = access.verify(name, FORM_USE, &session.text, form_token);
        verified.is_some()
    }
}

/// The value of the one cookie of this name; of several none is believed.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(key, _)| *key == name);
    match (ours.next(), ours.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// Whether a browser says that a form comes from another site. One that says
/// nothing is an old one: then the form's token has to do.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return true;
    }
    match (text(ORIGIN.as_str()), text(HOST.as_str())) {
        (Some(origin), Some(host)) => {
            let bare = origin.split_once("://").map(|(_, authority)| authority);
            bare != Some(host)
        }
        (Some(_), None) => true,
        (None, _) => false,
    }
}
