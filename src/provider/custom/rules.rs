//! Rules of the configuration: what kind of event states which movement, and
//! where its values stand in the body.
//!
//! A rule reads; it decides nothing about what the money adds up to. Reasons
//! name the setting, because it was the configuration that named the place.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::value::{CurrencyFrom, OneOf, Pointer, Pointers, Words, members, moment};
use crate::lookup;
use crate::money::{Currency, LARGEST_MINOR, Minor, minor_from_decimal};
use crate::movement::{
    Alias, Authority, Basis, Class, Clue, Fact, Link, Movement, Reading, Subject, rank,
};
use crate::provider::{SettingsError, Unreadable, checks};
use crate::time::Time;

/// Members of a list that one rule reads; senders that batch send some hundreds.
const MEMBERS_MAX: usize = 1_000;

/// What an event states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum States {
    Payment,
    Refund,
    RefundFailed,
    Void,
    Dispute,
    DisputeReturned,
    Alert,
    /// No money: a customer's id belongs to a customer key.
    Customer,
}

/// How an amount is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum AmountForm {
    #[default]
    Minor,
    Decimal,
}

/// Another id by which a reversal names its payment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    kind: String,
    id: Words,
}

/// Whose customer an id is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkFrom {
    kind: String,
    id: Words,
    customer_key: Words,
}

/// One of `[[sources.NAME.rules]]`; `config.example.toml` describes each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default)]
    when: BTreeMap<Pointer, OneOf>,
    movement: States,
    each: Option<Pointer>,
    payment_id: Option<Words>,
    reference: Option<Reference>,
    id: Option<Words>,
    basis: Option<Basis>,
    amount: Option<Pointers>,
    #[serde(default)]
    plus: Vec<Pointers>,
    #[serde(default)]
    amount_form: AmountForm,
    currency: Option<CurrencyFrom>,
    time: Option<Pointers>,
    product_key: Option<Words>,
    category_key: Option<Words>,
    #[serde(default)]
    clues: BTreeMap<String, Words>,
    #[serde(default)]
    aliases: BTreeMap<String, Words>,
    #[serde(default)]
    money_aliases: BTreeMap<String, Words>,
    link: Option<LinkFrom>,
}

impl Rule {
    /// Whether the rule says all that its movement needs.
    ///
    /// # Errors
    /// Names the key at fault; `place` is the rule's own.
    pub fn check(&self, place: &str, event_time: bool) -> Result<(), SettingsError> {
        let wrong = |key: &str, why: &str| Err(SettingsError::new(&format!("{place}.{key}"), why));
        if self.movement == States::Customer {
            return match self.link {
                Some(_) => Ok(()),
                None => wrong("link", "is missing: a customer is a link"),
            };
        }
        if self.link.is_some() {
            return wrong("link", "belongs to movement = \"customer\" only");
        }
        let payment = self.movement == States::Payment;
        match (&self.payment_id, &self.reference) {
            (Some(_), Some(_)) => {
                return wrong("reference", "stands beside payment_id: one of them");
            }
            (None, Some(_)) if payment => {
                return wrong("payment_id", "is missing: a payment has an id of its own");
            }
            (None, None) => return wrong("payment_id", "is missing"),
            _ => {}
        }
        let total = self.basis == Some(Basis::Total);
        if total && self.movement != States::Refund {
            return wrong("basis", "can be \"total\" for a refund only");
        }
        if self.id.is_none() && !(payment || total || self.movement == States::Void) {
            return wrong("id", "is missing: each reversal has an id of its own");
        }
        if self.amount.is_none() && self.movement != States::Void {
            return wrong("amount", "is missing");
        }
        if self.amount.is_none() && !self.plus.is_empty() {
            return wrong("plus", "has no amount that it could be added to");
        }
        if self.currency.is_none() {
            return wrong("currency", "is missing");
        }
        if self.time.is_none() && !event_time {
            return wrong("time", "is missing, and event.time is not set");
        }
        let named = [&self.aliases, &self.money_aliases, &self.clues];
        if self.reference.is_some() && named.iter().any(|named| !named.is_empty()) {
            return wrong(
                "reference",
                "stands beside aliases or clues, which are of a payment_id",
            );
        }
        let no_field = |name: &&String| {
            !matches!(
                name.parse::<lookup::Rule>(),
                Ok(lookup::Rule::Field(_) | lookup::Rule::Email)
            )
        };
        match self.clues.keys().find(no_field) {
            Some(_) => wrong("clues", "has a name that no lookup rule could ask for"),
            None => Ok(()),
        }
    }

    /// Adds what the rule reads in `whole`, and answers whether it applied.
    ///
    /// # Errors
    /// Names the setting whose value is not there or cannot be used.
    pub fn read(
        &self,
        place: &str,
        whole: &RawValue,
        event_time: Option<Time>,
        reading: &mut Reading,
    ) -> Result<bool, Unreadable> {
        let members = match &self.each {
            None => vec![whole],
            Some(list) => list.at(whole).and_then(members).unwrap_or_default(),
        };
        if members.len() > MEMBERS_MAX {
            let path = format!("{place}.each");
            return Err(Unreadable::field(&path, "has more than 1000 members"));
        }
        let mut applied = false;
        for member in members {
            let applies = self
                .when
                .iter()
                .all(|(pointer, values)| values.holds(pointer, member));
            if applies {
                let one = One {
                    rule: self,
                    place,
                    body: member,
                    event_time,
                };
                one.read(reading)?;
                applied = true;
            }
        }
        Ok(applied)
    }
}

/// One rule that applies to one body, or to one member of its list.
struct One<'a> {
    rule: &'a Rule,
    place: &'a str,
    body: &'a RawValue,
    event_time: Option<Time>,
}

impl One<'_> {
    fn wrong<T>(&self, key: &str, why: &str) -> Result<T, Unreadable> {
        Err(Unreadable::field(&format!("{}.{key}", self.place), why))
    }

    fn read(&self, reading: &mut Reading) -> Result<(), Unreadable> {
        if let Some(link) = &self.rule.link {
            return self.link(link, reading);
        }
        let about = self.about()?;
        let fact = self.fact(&about)?;
        if let Subject::Payment(payment) = &about {
            self.name(payment, reading)?;
            // What a payment says of its customer goes before what a reversal
            // says, whichever comes first: hence the oldest version there is.
            let version = match self.rule.movement {
                States::Payment => fact.version,
                _ => 0,
            };
            self.clues(payment, version, reading);
        }
        reading.movements.push(Movement { about, fact });
        Ok(())
    }

    /// Which payment.
    fn about(&self) -> Result<Subject, Unreadable> {
        match (&self.rule.payment_id, &self.rule.reference) {
            (Some(words), _) => Ok(Subject::Payment(self.id("payment_id", Some(words))?)),
            (None, Some(reference)) => Ok(Subject::Reference {
                kind: reference.kind.clone(),
                id: self.id("reference.id", Some(&reference.id))?,
            }),
            (None, None) => self.wrong("payment_id", "is not set"),
        }
    }

    fn id(&self, key: &str, words: Option<&Words>) -> Result<String, Unreadable> {
        let path = format!("{}.{key}", self.place);
        let id = checks::needed(&path, words.and_then(|words| words.text(self.body)))?;
        checks::plain_id(&path, &id).map(str::to_owned)
    }

    fn fact(&self, about: &Subject) -> Result<Fact, Unreadable> {
        let rule = self.rule;
        let (class, rank) = match rule.movement {
            States::Payment => (Class::Capture, rank::CAPTURED),
            States::Refund => (Class::Refund, rank::LIVE),
            States::RefundFailed => (Class::Refund, rank::UNDONE),
            States::Void => (Class::Void, rank::LIVE),
            States::Dispute => (Class::DisputeTaken, rank::ENTERED),
            States::DisputeReturned => (Class::DisputeReturned, rank::ENTERED),
            States::Alert => (Class::Alert, rank::INFERRED),
            States::Customer => return self.wrong("movement", "states no money"),
        };
        let id = match (&rule.id, about) {
            (Some(words), _) => self.id("id", Some(words))?,
            (None, Subject::Payment(id) | Subject::Reference { id, .. }) => id.clone(),
        };
        let currency = self.currency()?;
        let at = self.time()?;
        Ok(Fact {
            class,
            id,
            basis: rule.basis.unwrap_or(Basis::Each),
            rank,
            version: self.event_time.unwrap_or(at).ms(),
            authority: Authority::Webhook,
            amount: self.amount(currency)?,
            currency,
            at,
            partial_capture: false,
            product_key: self.clue(rule.product_key.as_ref()),
            category_key: self.clue(rule.category_key.as_ref()),
        })
    }

    /// When the money moved: the rule's own time, else the event's.
    fn time(&self) -> Result<Time, Unreadable> {
        let Some(pointers) = &self.rule.time else {
            return checks::needed("event.time", self.event_time);
        };
        match pointers.text(self.body) {
            None => self.wrong("time", "is missing"),
            Some(text) => match moment(&text) {
                None => self.wrong("time", "is not a time"),
                Some(at) => Ok(at),
            },
        }
    }

    fn currency(&self) -> Result<Currency, Unreadable> {
        match &self.rule.currency {
            None => self.wrong("currency", "is not set"),
            Some(CurrencyFrom::Fixed(currency)) => Ok(*currency),
            Some(CurrencyFrom::At(pointers)) => match pointers.text(self.body) {
                None => self.wrong("currency", "is missing"),
                Some(code) => code
                    .parse()
                    .or_else(|_| self.wrong("currency", "is not a three-letter currency code")),
            },
        }
    }

    /// The amount with what is to be added to it. The sign of what goes back is
    /// the sender's taste; a payment has none.
    fn amount(&self, currency: Currency) -> Result<Minor, Unreadable> {
        let Some(amount) = &self.rule.amount else {
            return Ok(0);
        };
        let mut sum = self.minor("amount", amount, currency)?;
        for more in &self.rule.plus {
            sum = sum.saturating_add(self.minor("plus", more, currency)?);
        }
        match self.rule.movement {
            States::Payment if sum < 0 => self.wrong("amount", "is negative"),
            _ if sum.saturating_abs() > LARGEST_MINOR => {
                self.wrong("amount", "is larger than any payment")
            }
            _ => Ok(sum.saturating_abs()),
        }
    }

    fn minor(&self, key: &str, at: &Pointers, currency: Currency) -> Result<Minor, Unreadable> {
        let Some(text) = at.text(self.body) else {
            return self.wrong(key, "is missing");
        };
        let (places, why) = match self.rule.amount_form {
            AmountForm::Minor => (0, "is no amount in minor units"),
            AmountForm::Decimal => (currency.exponent(), "is no amount of its currency"),
        };
        minor_from_decimal(text.trim(), places).or_else(|_| self.wrong(key, why))
    }

    /// A value that may be left out, where it can be used at all.
    fn clue(&self, words: Option<&Words>) -> Option<String> {
        let text = words?.text(self.body)?;
        checks::clue(&text).map(str::to_owned)
    }

    /// The other ids of the payment; those that are not there are not named.
    fn name(&self, payment: &str, reading: &mut Reading) -> Result<(), Unreadable> {
        let aliases = self.rule.aliases.iter().map(|it| (it, false));
        let money = self.rule.money_aliases.iter().map(|it| (it, true));
        for ((kind, words), money) in aliases.chain(money) {
            if words.text(self.body).is_none() {
                continue;
            }
            let key = if money { "money_aliases" } else { "aliases" };
            reading.aliases.push(Alias {
                payment_id: payment.to_owned(),
                kind: kind.clone(),
                id: self.id(key, Some(words))?,
                money,
            });
        }
        Ok(())
    }

    fn clues(&self, payment: &str, version: i64, reading: &mut Reading) {
        for (field, words) in &self.rule.clues {
            let Some(value) = self.clue(Some(words)) else {
                continue;
            };
            reading.clues.push(Clue {
                payment_id: payment.to_owned(),
                field: field.clone(),
                value,
                version,
            });
        }
    }

    /// A customer that has no key yet is no error: it says nothing.
    fn link(&self, link: &LinkFrom, reading: &mut Reading) -> Result<(), Unreadable> {
        let Some(customer_key) = self.clue(Some(&link.customer_key)) else {
            return Ok(());
        };
        let version = match (&self.rule.time, self.event_time) {
            (_, Some(at)) => at.ms(),
            (Some(_), None) => self.time()?.ms(),
            (None, None) => 0,
        };
        reading.links.push(Link {
            kind: link.kind.clone(),
            external_id: self.id("link.id", Some(&link.id))?,
            customer_key,
            version,
        });
        Ok(())
    }
}
