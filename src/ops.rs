//! Every verb that the command line and the HTTP API share.
//!
//! Here texts become filters and decisions, and a decision about many payments
//! is carried out page by page. It prints nothing and answers no request.

pub mod imports;
mod links;
mod list;
pub mod report;
pub mod report_csv;
mod unattributed;

use serde::Serialize;

pub use links::{LinkDryRun, LinkList, link, link_dry_run, links};
pub use list::{
    FilterText, ListError, PAGE, PAGE_MOST, PaymentList, moment, page_length, payments,
};
pub use unattributed::{UnattributedList, UnattributedText, unattributed};

use crate::ledger::book::State;
use crate::ledger::story::{PaymentView, Story};
use crate::ledger::{Decided, Decision, Delivery, Filter, Ledger, LedgerError, Statement, Word};
use crate::lookup;
use crate::money::{Currency, Minor};
use crate::movement::{Authority, Basis, Class, Clue, Fact, Movement, Reading, Subject, rank};
use crate::plan::Policy;
use crate::provider::Kept;
use crate::time::Time;

/// Why a request makes no sense. The caller answers "wrong usage".
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

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
pub(crate) fn states_for(decision: &Decision) -> &'static [State] {
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
pub(crate) fn mask_words(sentence: &str) -> String {
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
