//! A provider that is described wholly in the configuration: how it signs, and
//! which of its events states which movement.
//!
//! Nothing here knows a sender; `fixtures/custom/*.toml` describe five of them.
//! It reads JSON webhooks that carry the money themselves, and asks no API.

mod rules;
mod signature;
mod value;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::rules::Rule;
use self::signature::Proof;
use self::value::{Node, OneOf, Pointer, Pointers, Words, moment};
use super::{
    Document, Genuine, KEPT_HEADERS, NotGenuine, Provider, Request, Secret, SettingsError,
    Unreadable, checks,
};
use crate::movement::{Reading, Scope};
use crate::time::Time;

/// The name in the configuration.
pub const NAME: &str = "custom";

/// It has no events of its own: the configuration names them.
pub const EVENTS: &[&str] = &[];

/// Where the customer key is looked for. An email is not among them: it can be
/// typed by anybody, so a source has to ask for it.
const LOOKUP: &[&str] = &["metadata.customer_key", "link:customer"];

/// Rules of one source; a sender has some dozen kinds of events about money.
const RULES_MAX: usize = 64;

/// Why an event is ignored.
const UNSPOKEN: &str = "no rule of the source speaks of such events";

/// Why an event is ignored that a rule speaks of: only a customer can be so.
const UNSAID: &str = "the event names no customer key, so there is nothing to link";

/// The settings of a custom source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    signature: signature::Settings,
    #[serde(default)]
    event: Event,
    #[serde(default)]
    rules: Vec<Rule>,
}

/// What every event of the source has, and where: `event.*`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    name: Option<Words>,
    id: Option<Words>,
    id_header: Option<String>,
    time: Option<Pointers>,
    live: Option<Live>,
}

/// Where an event says whether it is of the live mode, and in which words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Live {
    pointer: Pointer,
    equals: OneOf,
}

/// One source's view of whoever its settings describe.
#[derive(Clone, Debug)]
pub struct Custom {
    proof: Proof,
    event: Event,
    rules: Vec<Rule>,
}

impl Custom {
    /// From a source's settings: `signature`, `event` and `rules`.
    ///
    /// # Errors
    /// Names the key at fault.
    pub fn new(settings: toml::Table) -> Result<Custom, SettingsError> {
        let settings: Settings = super::settings(settings)?;
        let event = settings.event;
        if settings.rules.len() > RULES_MAX {
            return Err(SettingsError::new("rules", "are more than 64"));
        }
        if event.name.is_none() && !settings.rules.is_empty() {
            return Err(SettingsError::new("event.name", "is missing"));
        }
        if let Some(name) = &event.id_header
            && !KEPT_HEADERS.contains(&name.as_str())
        {
            let why = format!(
                "is not kept beside a body; these are: {}",
                KEPT_HEADERS.join(", ")
            );
            return Err(SettingsError::new("event.id_header", why));
        }
        for (index, rule) in settings.rules.iter().enumerate() {
            rule.check(&place(index), event.time.is_some())?;
        }
        Ok(Custom {
            proof: settings.signature.proof()?,
            event,
            rules: settings.rules,
        })
    }
}

/// Where a rule stands in the configuration.
fn place(index: usize) -> String {
    format!("rules[{index}]")
}

impl Provider for Custom {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secrets: &[Secret],
        now: Time,
    ) -> Result<Genuine, NotGenuine> {
        self.proof.verify(request, secrets, now)
    }

    fn parse(&self, document: &Document<'_>) -> Result<Reading, Unreadable> {
        let body: &RawValue = serde_json::from_slice(document.body)
            .map_err(|_| Unreadable::because("the body is not JSON"))?;
        let body = &Node::of(body);
        let name = self
            .event
            .name
            .as_ref()
            .ok_or_else(|| Unreadable::field("event.name", "is not set"))?;
        let name = checks::needed("event.name", name.text(body))?;
        let time = self.time(body)?;
        let mut reading = Reading {
            delivery_id: self.delivery_id(document, body)?,
            event: checks::plain_id("event.name", &name)?.to_owned(),
            scope: self.scope(body),
            ..Reading::default()
        };
        let mut spoken = false;
        for (index, rule) in self.rules.iter().enumerate() {
            spoken |= rule.read(&place(index), body, time, &mut reading)?;
        }
        if reading.movements.is_empty() && reading.links.is_empty() {
            let why = if spoken { UNSAID } else { UNSPOKEN };
            reading.ignored = Some(why.to_owned());
        }
        Ok(reading)
    }

    fn lookup(&self) -> &'static [&'static str] {
        LOOKUP
    }

    fn api(&self) -> Option<super::ask::Api> {
        None
    }

    fn key_set(&self) -> Option<&str> {
        None
    }
}

impl Custom {
    /// The delivery's id: the body's, else the header's.
    fn delivery_id(
        &self,
        document: &Document<'_>,
        body: &Node<'_>,
    ) -> Result<Option<String>, Unreadable> {
        if let Some(id) = self.event.id.as_ref().and_then(|words| words.text(body)) {
            return checks::plain_id("event.id", &id).map(|id| Some(id.to_owned()));
        }
        let header = self.event.id_header.as_ref();
        let kept = header.and_then(|name| document.kept.headers.get(name));
        let kept = kept.map(|id| id.trim()).filter(|id| !id.is_empty());
        Ok(kept.map(str::to_owned))
    }

    /// The event's time where it is set and there. A rule that needs it says
    /// that it is missing.
    fn time(&self, body: &Node<'_>) -> Result<Option<Time>, Unreadable> {
        let Some(text) = self.event.time.as_ref().and_then(|it| it.text(body)) else {
            return Ok(None);
        };
        match moment(&text) {
            None => Err(Unreadable::field("event.time", "is not a time")),
            at => Ok(at),
        }
    }

    fn scope(&self, body: &Node<'_>) -> Scope {
        let live = self.event.live.as_ref().and_then(|live| {
            live.pointer.at(body).and_then(Node::scalar)?;
            Some(live.equals.holds(&live.pointer, body))
        });
        Scope {
            live,
            account: String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
