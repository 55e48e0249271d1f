//! Finding the customer of a payment, rule by rule.
//!
//! The rules are tried in the order of the configuration and the first that
//! names a customer wins. Every rule's outcome is kept, because "why is this
//! sale missing" is the question people ask. Nothing here reads the ledger: the
//! links that a rule may need are handed in.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::plan::{Customer, CustomerBy};

/// The longest customer key that PartnerStack's transactions API takes.
pub const CUSTOMER_KEY_MOST_CHARS: usize = 255;

/// The field under which an imported file names a payment's customer. It is the
/// last rule of every source, whatever is configured: a file does not beat what
/// the provider says.
pub const IMPORTED_CUSTOMER: &str = "import.customer_key";

/// The longest name inside a rule, in bytes.
const RULE_NAME_MOST_BYTES: usize = 128;

/// One rule of a source's `customer_key` list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rule {
    /// A field of the payment is the customer key, for example
    /// `metadata.customer_key`.
    Field(String),
    /// A field of the payment is an external id of this kind, and a link ties it
    /// to a customer key, for example `link:customer`.
    Link(String),
    /// The payer's email address is how the destination finds the customer.
    Email,
    /// A field of the payment is the `provider_key` of a customer that the
    /// destination lists, for example `mirror:customer`; or the customer's email
    /// address, `mirror:email`.
    Mirror(String),
    /// Only a part of the value counts for the rule: the first group of the
    /// pattern, or all that matches where it has none. `reference ~ ^([^~]+)`.
    Part(Box<Rule>, Pattern),
}

/// A regular expression, matched in linear time.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Compiles a pattern; `None` where it is none, or one of too many states.
    #[must_use]
    pub fn new(text: &str) -> Option<Pattern> {
        let mut builder = RegexBuilder::new(text);
        let compiled = builder.size_limit(PATTERN_MOST_BYTES).build();
        compiled.ok().map(Pattern)
    }

    /// The part of `value` that the pattern names, if it matches.
    #[must_use]
    pub fn part(&self, value: &str) -> Option<String> {
        let found = self.0.captures(value)?;
        let part = found.get(1).or_else(|| found.get(0))?.as_str().trim();
        (!part.is_empty()).then(|| part.to_owned())
    }
}

/// The largest compiled pattern, in bytes: thousands of states, far more than a
/// customer key's shape needs.
const PATTERN_MOST_BYTES: usize = 64 * 1024;

/// A text that is no rule.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be \"metadata.NAME\", \"link:KIND\", \"mirror:FIELD\", \"email\" or the name of a \
     provider's field"
)]
pub struct RuleError;

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Rule, RuleError> {
        let plain = |name: &str| {
            (1..=RULE_NAME_MOST_BYTES).contains(&name.len())
                && name.trim() == name
                && !name.chars().any(char::is_control)
        };
        let word = |name: &str| {
            plain(name)
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        if let Some((rule, pattern)) = text.split_once(" ~ ") {
            let pattern = Pattern::new(pattern.trim()).ok_or(RuleError)?;
            let rule = rule.trim().parse()?;
            return Ok(Rule::Part(Box::new(rule), pattern));
        }
        if let Some(field) = text.strip_prefix("mirror:") {
            return match word(field) {
                true => Ok(Rule::Mirror(field.to_owned())),
                false => Err(RuleError),
            };
        }
        match (text.strip_prefix("link:"), text.strip_prefix("metadata.")) {
            (Some(kind), _) if word(kind) => Ok(Rule::Link(kind.to_owned())),
            (None, Some(name)) if plain(name) => Ok(Rule::Field(text.to_owned())),
            (None, None) if text == "email" => Ok(Rule::Email),
            (None, None) if word(text) => Ok(Rule::Field(text.to_owned())),
            _ => Err(RuleError),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;
    fn try_from(text: String) -> Result<Rule, RuleError> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> String {
        rule.to_string()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Field(name) => f.write_str(name),
            Rule::Link(kind) => write!(f, "link:{kind}"),
            Rule::Email => f.write_str("email"),
            Rule::Mirror(field) => write!(f, "mirror:{field}"),
            Rule::Part(rule, pattern) => write!(f, "{rule} ~ {}", pattern.0.as_str()),
        }
    }
}

impl Rule {
    /// The field of the payment that the rule reads.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Rule::Field(name) | Rule::Link(name) | Rule::Mirror(name) => name,
            Rule::Email => EMAIL,
            Rule::Part(rule, _) => rule.field(),
        }
    }

    /// The kind of link that the rule asks for, and the id that `value` means to
    /// it: what a link of that kind is found by, and what finds the payment again
    /// when the link arrives.
    #[must_use]
    pub fn asks_link(&self, value: &str) -> Option<(&str, String)> {
        match self.narrowed(Some(value.to_owned())) {
            (Rule::Link(kind), Some(id), _) => Some((kind, id)),
            _ => None,
        }
    }

    /// What the rule looks for among the customers that the destination lists,
    /// where it does: the field, and what `value` means to it.
    #[must_use]
    pub fn asks_mirror(&self, value: &str) -> Option<(&str, String)> {
        match self.narrowed(Some(value.to_owned())) {
            (Rule::Mirror(field), Some(value), _) => Some((field, by_mirror(field, value))),
            _ => None,
        }
    }

    /// Whether the rule finds customers by their email address in the mirror.
    #[must_use]
    pub fn mirrors_email(&self) -> bool {
        match self {
            Rule::Mirror(field) => field == EMAIL,
            Rule::Part(rule, _) => rule.mirrors_email(),
            Rule::Field(_) | Rule::Link(_) | Rule::Email => false,
        }
    }

    /// The rule behind a pattern, and the part of `value` that it is tried with.
    fn narrowed(&self, value: Option<String>) -> (&Rule, Option<String>, bool) {
        match self {
            Rule::Part(rule, pattern) => {
                let part = value.as_deref().and_then(|value| pattern.part(value));
                let missed = value.is_some() && part.is_none();
                (rule, part, missed)
            }
            rule => (rule, value, false),
        }
    }
}

/// The field of a payer's email address.
pub const EMAIL: &str = "email";

/// A value as the mirror is asked for it: addresses in small letters.
fn by_mirror(field: &str, value: String) -> String {
    match field {
        EMAIL => value.trim().to_lowercase(),
        _ => value,
    }
}

/// What a rule asks the ledger for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// The customer key that an external id of a kind is tied to.
    Link {
        /// The kind.
        kind: &'a str,
        /// The id.
        id: &'a str,
    },
    /// The customers that the destination lists with this `provider_key`.
    ProviderKey(&'a str),
    /// Those that it lists with this email address, in small letters.
    Email(&'a str),
}

/// What the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nobody.
    Nobody,
    /// One customer, by its key.
    Customer(String),
    /// One customer, to whom the merchant gave no key.
    Keyless,
    /// Several, so that nobody is named.
    Several,
}

/// What one rule came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tried {
    /// The rule as configured.
    pub rule: String,
    /// The value it saw, if the payment has one.
    pub saw: Option<String>,
    /// What came of it.
    pub came_to: CameTo,
}

/// The outcome of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CameTo {
    /// The rule named this customer.
    Found(String),
    /// The payment has no such field, or an empty one.
    NotSet,
    /// The field is set and no link ties it to a customer yet.
    NotLinked,
    /// The value is longer than a customer key may be.
    TooLong,
    /// The value does not match the rule's pattern.
    NoMatch,
    /// No customer that the destination lists has the value.
    NotMirrored,
    /// A customer that the destination lists has it, and no key of the merchant's.
    Keyless,
    /// Several customers that the destination lists have it.
    Ambiguous,
}

/// The customer, if a rule named one, and every rule that was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Whom the first rule that names one names.
    pub customer: Option<Customer>,
    /// The rules tried, in order, the successful one last.
    pub tried: Vec<Tried>,
}

/// Tries `rules` in order. `clue` gives the payment's value of a field, `ask`
/// whom the ledger knows by it.
pub fn find<E>(
    rules: &[Rule],
    clue: impl Fn(&str) -> Option<String>,
    mut ask: impl FnMut(Ask<'_>) -> Result<Known, E>,
) -> Result<Finding, E> {
    let mut finding = Finding::default();
    for rule in rules {
        let saw = clue(rule.field());
        let (plain, value, missed) = rule.narrowed(saw.clone());
        let came_to = match (plain, &value) {
            (_, None) if missed => CameTo::NoMatch,
            (_, None) => CameTo::NotSet,
            (Rule::Link(kind), Some(id)) => match ask(Ask::Link { kind, id })? {
                Known::Customer(key) => CameTo::Found(key),
                _ => CameTo::NotLinked,
            },
            (Rule::Mirror(field), Some(value)) => {
                let value = by_mirror(field, value.clone());
                mirrored(ask(match field.as_str() {
                    EMAIL => Ask::Email(&value),
                    _ => Ask::ProviderKey(&value),
                })?)
            }
            (_, Some(value)) => CameTo::Found(value.clone()),
        };
        let came_to = match came_to {
            CameTo::Found(key) if key.chars().count() > CUSTOMER_KEY_MOST_CHARS => CameTo::TooLong,
            other => other,
        };
        if let CameTo::Found(value) = &came_to {
            let by = match plain {
                Rule::Email => CustomerBy::Email,
                _ => CustomerBy::Key,
            };
            let value = value.clone();
            finding.customer = Some(Customer { by, value });
        }
        finding.tried.push(Tried {
            rule: rule.to_string(),
            saw,
            came_to,
        });
        if finding.customer.is_some() {
            return Ok(finding);
        }
    }
    if let Some(key) = clue(IMPORTED_CUSTOMER) {
        imported(&mut finding, key);
    }
    Ok(finding)
}

fn mirrored(known: Known) -> CameTo {
    match known {
        Known::Nobody => CameTo::NotMirrored,
        Known::Customer(key) => CameTo::Found(key),
        Known::Keyless => CameTo::Keyless,
        Known::Several => CameTo::Ambiguous,
    }
}

/// The rule that nobody configures: an imported file said whose it is.
fn imported(finding: &mut Finding, key: String) {
    let fits = key.chars().count() <= CUSTOMER_KEY_MOST_CHARS;
    finding.tried.push(Tried {
        rule: IMPORTED_CUSTOMER.to_owned(),
        saw: Some(key.clone()),
        came_to: match fits {
            true => CameTo::Found(key.clone()),
            false => CameTo::TooLong,
        },
    });
    finding.customer = fits.then(|| Customer::key(key));
}

impl Tried {
    /// The outcome as a sentence for a person; an email address is masked.
    #[must_use]
    pub fn sentence(&self) -> String {
        let saw = self.saw.as_deref().map(mask_email).unwrap_or_default();
        match &self.came_to {
            CameTo::Found(key) if self.rule.starts_with("link:") => {
                format!("{}: {saw} is linked to {key}", self.rule)
            }
            CameTo::Found(key) if self.rule.starts_with("mirror:email") => {
                format!("{}: {saw} is the address of the customer {key}", self.rule)
            }
            CameTo::Found(key) if self.rule.starts_with("mirror:") => {
                format!(
                    "{}: {saw} is the provider_key of the customer {key}",
                    self.rule
                )
            }
            CameTo::Found(_) if self.rule == IMPORTED_CUSTOMER => {
                format!("{}: an imported file says {saw}", self.rule)
            }
            CameTo::Found(_) => format!("{}: {saw}", self.rule),
            CameTo::NoMatch => format!("{}: {saw} does not match the pattern", self.rule),
            CameTo::NotSet => format!("{}: the payment has no such value", self.rule),
            CameTo::NotLinked => format!("{}: {saw} is not linked to a customer yet", self.rule),
            CameTo::NotMirrored => format!(
                "{}: the destination lists no customer with {saw}, as far as it was read",
                self.rule
            ),
            CameTo::Keyless => format!(
                "{}: the customer that the destination lists with {saw} has no customer_key",
                self.rule
            ),
            CameTo::Ambiguous => format!(
                "{}: the destination lists several customers with {saw}, so it names none",
                self.rule
            ),
            CameTo::TooLong => format!(
                "{}: the value is longer than the {CUSTOMER_KEY_MOST_CHARS} characters of a customer key",
                self.rule
            ),
        }
    }
}

/// An email address with all but its first letter and its domain's end hidden;
/// any other text as it is.
#[must_use]
pub fn mask_email(text: &str) -> String {
    match text.trim().split_once('@') {
        Some((local, domain)) if domain.contains('.') && !domain.contains(char::is_whitespace) => {
            let first: String = local.chars().take(1).collect();
            let end = domain.rsplit('.').next().unwrap_or_default();
            format!("{first}***@***.{end}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
