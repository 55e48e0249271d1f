//! Every verb that the command line and the HTTP API share.
//!
//! Here texts become filters and decisions, and a decision about many payments
//! is carried out page by page. It prints nothing and answers no request.

pub mod report;

use serde::Serialize;

use crate::ledger::book::State;
use crate::ledger::story::{PaymentView, Story};
use crate::ledger::{
    Decided, Decision, Delivery, Filter, Ledger, LedgerError, LinkView, NewLink, Page, Statement,
    Word,
};
use crate::lookup;
use crate::money::{Currency, Minor};
use crate::movement::{Authority, Basis, Class, Clue, Fact, Movement, Reading, Subject, rank};
use crate::plan::Policy;
use crate::provider::Kept;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, Time};

/// Payments on one page of a list, unless asked otherwise.
pub const PAGE: usize = 50;

/// Payments on one page at most: an answer stays under a megabyte.
pub const PAGE_MOST: usize = 1_000;

/// Why a request makes no sense. The caller answers "wrong usage".
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// A filter as people write it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterText {
    /// A state's word.
    pub state: Option<String>,
    /// A source's name.
    pub source: Option<String>,
    /// A customer key.
    #[serde(alias = "customer")]
    pub customer_key: Option<String>,
    /// When the money moved, at or after.
    pub since: Option<String>,
    /// When the money moved, before.
    pub until: Option<String>,
    /// Where the page starts.
    pub cursor: Option<String>,
    /// How many.
    pub limit: Option<String>,
}

impl FilterText {
    /// The filter and the page's length.
    ///
    /// # Errors
    /// The first text that cannot be read, by its name.
    pub fn read(&self, now: Time) -> Result<(Filter, usize), UsageError> {
        let state = self.state.as_deref().map(|word| {
            State::from_word(word).ok_or_else(|| {
                let words = crate::ledger::book::STATES.map(State::word).join(", ");
                UsageError(format!("state: \"{word}\" is none of {words}"))
            })
        });
        let cursor = self.cursor.as_deref().map(|text| {
            text.parse::<i64>()
                .map_err(|_| UsageError("cursor: not one of ours".to_owned()))
        });
        let limit = match self.limit.as_deref() {
            None => PAGE,
            Some(text) => match text.parse::<usize>() {
                Ok(limit) if (1..=PAGE_MOST).contains(&limit) => limit,
                _ => {
                    return Err(UsageError(format!(
                        "limit: write a number from 1 to {PAGE_MOST}"
                    )));
                }
            },
        };
        let filter = Filter {
            state: state.transpose()?,
            source: self.source.clone(),
            payment_id: None,
            customer: self.customer_key.clone(),
            since: self
                .since
                .as_deref()
                .map(|text| moment("since", text, now))
                .transpose()?,
            until: self
                .until
                .as_deref()
                .map(|text| moment("until", text, now))
                .transpose()?,
            cursor: cursor.transpose()?,
        };
        Ok((filter, limit))
    }

    /// True where nothing narrows the payments down.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let FilterText {
            state,
            source,
            customer_key,
            since,
            until,
            cursor: _,
            limit: _,
        } = self;
        [state, source, customer_key, since, until]
            .iter()
            .all(|text| text.is_none())
    }
}

/// A point in time as people write it: RFC 3339, a date, or `7d`, `12h`, `30m` ago.
///
/// # Errors
/// With the name of what was read.
pub fn moment(name: &str, text: &str, now: Time) -> Result<Time, UsageError> {
    let units = [('d', DAY_MS), ('h', HOUR_MS), ('m', MINUTE_MS)];
    for (unit, ms) in units {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(count) = number.parse::<u32>()
        {
            return Ok(now.plus(-i64::from(count).saturating_mul(ms)));
        }
    }
    Time::parse(text).map_err(|error| UsageError(format!("{name}: {error}, or 7d for days ago")))
}

/// Reads a policy's word.
///
/// # Errors
/// The words there are.
pub fn policy(word: &str) -> Result<Policy, UsageError> {
    match word {
        "negative" => Ok(Policy::Negative),
        "replace" => Ok(Policy::Replace),
        "delete" => Ok(Policy::Delete),
        "hold" => Ok(Policy::Hold),
        _ => Err(UsageError(format!(
            "policy: \"{word}\" is none of negative, replace, delete, hold"
        ))),
    }
}

/// Reads an amount in minor units with its currency.
///
/// # Errors
/// Where one comes without the other.
pub fn amount(
    minor: Option<Minor>,
    currency: Option<&str>,
) -> Result<Option<(Minor, Currency)>, UsageError> {
    match (minor, currency) {
        (None, None) => Ok(None),
        (Some(minor), Some(code)) => match code.parse() {
            Ok(currency) => Ok(Some((minor, currency))),
            Err(error) => Err(UsageError(format!("currency: {error}"))),
        },
        _ => Err(UsageError("amount and currency go together".to_owned())),
    }
}

/// Which payments a decision is about.
#[derive(Clone, Debug)]
pub enum Whom {
    /// One.
    One {
        /// Its source.
        source: String,
        /// Its id.
        payment_id: String,
    },
    /// All that a filter means, `None` for the filter's states: those that the
    /// decision is for.
    Many(Filter),
}

/// What a decision about many came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// A line for each payment, up to [`PAGE_MOST`] of them.
    pub lines: Vec<Decided>,
    /// Payments decided.
    pub done: usize,
    /// Payments for which it was refused.
    pub refused: usize,
}

/// Writes a decision down for every payment meant.
///
/// # Errors
/// As the ledger's; what was decided before an error stands.
pub async fn decide(
    ledger: &Ledger,
    whom: Whom,
    decision: Decision,
    word: Word,
    dry_run: bool,
) -> Result<Tally, LedgerError> {
    let one = matches!(whom, Whom::One { .. });
    let filters = match whom {
        Whom::One { source, payment_id } => vec![Filter {
            source: Some(source),
            payment_id: Some(payment_id),
            ..Filter::default()
        }],
        Whom::Many(filter) if filter.state.is_some() => vec![filter],
        // Without a state only those are meant that the decision is for.
        Whom::Many(filter) => states_for(&decision)
            .iter()
            .map(|state| Filter {
                state: Some(*state),
                ..filter.clone()
            })
            .collect(),
    };
    let mut tally = Tally::default();
    for mut filter in filters {
        loop {
            let (lines, next) = ledger
                .decide(filter.clone(), decision.clone(), word.clone(), dry_run)
                .await?;
            for line in lines {
                match line.refused {
                    Some(_) => tally.refused += 1,
                    None => tally.done += 1,
                }
                if tally.lines.len() < PAGE_MOST {
                    tally.lines.push(line);
                }
            }
            match next {
                Some(cursor) => filter.cursor = Some(cursor),
                None => break,
            }
        }
    }
    match one && tally.lines.is_empty() {
        true => Err(LedgerError::NotFound("there is no such payment".to_owned())),
        false => Ok(tally),
    }
}

/// The states from which a decision moves a payment on.
fn states_for(decision: &Decision) -> &'static [State] {
    match decision {
        Decision::Retry => &[State::Failed, State::Unattributed],
        Decision::Skip { .. } => &[
            State::Failed,
            State::Unattributed,
            State::Held,
            State::Waiting,
            State::Due,
        ],
        Decision::Accept | Decision::Policy { .. } => &[State::Held],
        Decision::Customer { .. } | Decision::Move { .. } => &[State::Held, State::Unattributed],
    }
}

/// A page of payments; `plain` shows email addresses in full.
///
/// # Errors
/// As the ledger's.
pub async fn payments(
    ledger: &Ledger,
    filter: Filter,
    limit: usize,
    plain: bool,
) -> Result<Page, LedgerError> {
    let mut page = ledger.payments(filter, limit).await?;
    if !plain {
        page.items.iter_mut().for_each(mask_payment);
    }
    Ok(page)
}

/// One payment's story; `plain` shows email addresses in full.
///
/// # Errors
/// As the ledger's.
pub async fn story(
    ledger: &Ledger,
    source: &str,
    id: &str,
    plain: bool,
) -> Result<Story, LedgerError> {
    let mut story = ledger.story(source, id).await?;
    if !plain {
        mask(&mut story);
    }
    Ok(story)
}

/// Hides an email address in a payment's customer key.
fn mask_payment(payment: &mut PaymentView) {
    payment.customer_key = payment.customer_key.as_deref().map(lookup::mask_email);
    payment.partner_key = payment.partner_key.as_deref().map(lookup::mask_email);
    payment.reason = payment.reason.as_deref().map(mask_words);
}

/// Hides every email address in a sentence.
fn mask_words(sentence: &str) -> String {
    let words: Vec<String> = sentence.split(' ').map(lookup::mask_email).collect();
    words.join(" ")
}

/// Hides email addresses wherever a story shows a rule's value.
fn mask(story: &mut Story) {
    story.summary = mask_words(&story.summary);
    for event in &mut story.events {
        event.text = mask_words(&event.text);
    }
    for link in &mut story.links {
        link.external_id = lookup::mask_email(&link.external_id);
        link.customer_key = link.customer_key.as_deref().map(lookup::mask_email);
    }
    for tried in &mut story.lookup {
        tried.saw = tried.saw.as_deref().map(lookup::mask_email);
        if let lookup::CameTo::Found(value) = &mut tried.came_to {
            *value = lookup::mask_email(value);
        }
    }
    if let Some(payment) = &mut story.payment {
        mask_payment(payment);
    }
    for transaction in &mut story.transactions {
        let customer = &mut transaction.row.customer.value;
        *customer = lookup::mask_email(customer);
    }
}

/// Adds a link; answers the link and how many payments were looked at again.
///
/// # Errors
/// As the ledger's.
pub async fn link(
    ledger: &Ledger,
    link: NewLink,
    word: Word,
) -> Result<(LinkView, bool, usize), LedgerError> {
    let linked = ledger.link(link, word).await?;
    Ok((linked.link, linked.changed, linked.payments))
}

/// States a refund that no webhook tells of.
///
/// # Errors
/// As the ledger's.
pub async fn refund(
    ledger: &Ledger,
    (source, payment_id): (&str, &str),
    refund_id: String,
    amount: Minor,
    word: Word,
) -> Result<Decided, LedgerError> {
    let statement = Statement::Refund { refund_id, amount };
    ledger.state(source, payment_id, statement, word).await
}

/// The field by which a payment that the merchant states names its customer.
pub const API_CUSTOMER: &str = "customer_key";

/// A payment that the merchant's own back end states.
#[derive(Clone, Debug)]
pub struct StatedPayment {
    /// Whose it is.
    pub customer_key: String,
    /// The merchant's own key; one is made where there is none, and then a
    /// repeated request is a second payment.
    pub key: Option<String>,
    /// Minor units.
    pub amount: Minor,
    /// Its currency.
    pub currency: Currency,
    /// The product's key at the destination.
    pub product_key: Option<String>,
    /// The category's key at the destination.
    pub category_key: Option<String>,
}

/// Records a payment that no provider tells of. The same key with the same
/// money is the same payment.
///
/// # Errors
/// [`LedgerError::Refused`] where the key is known with other money or another
/// customer, else as the ledger's.
pub async fn state_payment(
    ledger: &Ledger,
    stated: StatedPayment,
    now: Time,
) -> Result<PaymentView, LedgerError> {
    let source = crate::config::RESERVED_NAME;
    let payment_id = match &stated.key {
        Some(key) => key.clone(),
        None => format!("made-{}", hex::encode(rand::random::<[u8; 12]>())),
    };
    let only = Filter {
        source: Some(source.to_owned()),
        payment_id: Some(payment_id.clone()),
        ..Filter::default()
    };
    if let Some(known) = ledger.payments(only.clone(), 1).await?.items.pop() {
        let same = known.gross == Some(stated.amount)
            && known.currency == Some(stated.currency)
            && known.customer_key.as_deref() == Some(&stated.customer_key);
        return match same {
            true => Ok(known),
            false => Err(LedgerError::Refused(format!(
                "the key {payment_id} is known with other money or another customer"
            ))),
        };
    }
    let reading = reading_of(&stated, &payment_id, now);
    let delivery = Delivery {
        source: source.to_owned(),
        body: serde_json::to_vec(&reading).unwrap_or_default().into(),
        received_at: now,
        secret: 0,
        kept: Kept::default(),
        reading: Ok(reading),
    };
    ledger.record(delivery).await?;
    let recorded = ledger.payments(only, 1).await?.items.pop();
    recorded.ok_or_else(|| LedgerError::NotFound("the payment is gone".to_owned()))
}

fn reading_of(stated: &StatedPayment, payment_id: &str, now: Time) -> Reading {
    let capture = Fact {
        class: Class::Capture,
        id: payment_id.to_owned(),
        basis: Basis::Each,
        rank: rank::CAPTURED,
        version: 0,
        authority: Authority::Api,
        amount: stated.amount,
        currency: stated.currency,
        at: now,
        partial_capture: false,
        product_key: stated.product_key.clone(),
        category_key: stated.category_key.clone(),
    };
    Reading {
        delivery_id: Some(payment_id.to_owned()),
        event: "stated by the API".to_owned(),
        movements: vec![Movement {
            about: Subject::Payment(payment_id.to_owned()),
            fact: capture,
        }],
        clues: vec![Clue {
            payment_id: payment_id.to_owned(),
            field: API_CUSTOMER.to_owned(),
            value: stated.customer_key.clone(),
            version: 0,
        }],
        ..Reading::default()
    }
}
