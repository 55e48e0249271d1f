//! One payment's page: all that is known of it, and where it stands.
//!
//! [`stand`] is pure: a store loads a [`Book`], asks where the payment stands
//! and writes the answer down, in one transaction. Both stores use the same
//! function, so a payment cannot stand in two places. It calls nothing.

use super::reason;
pub use super::state::{STATES, State};
use crate::destination::{self, NewTransaction};
use crate::lookup::{self, Ask, Finding, Known, Rule};
use crate::money::Minor;
use crate::movement::Fact;
use crate::plan::{self, Customer, Policy, Row, RowState, Ruling, Step, Terms};
use crate::position::{self, Captured, Position};
use crate::time::Time;

/// What a source's configuration means for its payments.
#[derive(Clone, Debug)]
pub struct SourceTerms {
    /// The source's name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// The destination's name.
    pub destination: String,
    /// True where the destination takes live money, false in its test mode.
    pub live: bool,
    /// Lookup rules in order.
    pub rules: Vec<Rule>,
    /// Payments from before are recorded and not forwarded.
    pub forward_from: Option<Time>,
    /// Policy and abilities.
    pub terms: Terms,
    /// True where the provider's customer id is to be written to the destination.
    pub bind_provider_key: bool,
    /// How long "not found" on a read-back is not yet believed, in milliseconds.
    pub confirm_after_ms: i64,
    /// How much patience a payment has, in milliseconds.
    pub retry_for_ms: i64,
    /// The longest a call may take, in milliseconds.
    pub timeout_ms: i64,
    /// What the provider's API can be asked for, by kind.
    pub asks: Vec<String>,
    /// The key of the configuration without which it cannot be asked.
    pub api_missing: Option<String>,
}

/// All that is known of one payment.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// The payment's id at its source.
    pub payment_id: String,
    /// Live, test, or not said.
    pub live: Option<bool>,
    /// For a stand-in: how many payments carry the ids that its reversals name.
    pub reference_matches: Option<usize>,
    /// Every fact.
    pub facts: Vec<Fact>,
    /// The best value of each field.
    pub clues: Vec<(String, String)>,
    /// The destination's side.
    pub rows: Vec<Row>,
    /// What people decided.
    pub ruling: Ruling,
    /// The customer it was first forwarded under.
    pub frozen: Option<Customer>,
    /// Why calling was given up, and for which step.
    pub failure: Option<Failure>,
    /// A payment of another source that is the same money, by a name for people.
    pub same_money_as: Option<String>,
    /// Captures without an amount.
    pub unpriced: Vec<Unsaid>,
    /// What the provider's API is asked about it, as a sentence, and whether the
    /// answer is still open.
    pub asked: Option<(bool, String)>,
}

/// A capture whose amount nobody has said yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsaid {
    /// The kind of link that may say it.
    pub link_kind: String,
    /// The id of that link.
    pub id: String,
    /// The payment that took the link's amount, where another one did.
    pub taken_by: Option<String>,
}

/// A call that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step, in one word.
    pub step: String,
    /// Why, for a person.
    pub why: String,
}

/// Where a payment stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What is true about its money.
    pub position: Position,
    /// The customer, and the rules tried.
    pub finding: Finding,
    /// The customer it is for: frozen, ruled or found.
    pub customer: Option<Customer>,
    /// The state.
    pub state: State,
    /// Why, for a person; always there but for due and settled.
    pub reason: Option<String>,
    /// The next call; [`Step::Nothing`] unless the state is due.
    pub step: Step,
    /// Minor units that the destination holds live, as far as is known.
    pub forwarded: Minor,
}

/// What the fold must ask the ledger for: links, and customers of the destination.
pub trait Directory {
    /// Why an answer could not be had.
    type Error;
    /// The customer key that an external id is linked to.
    ///
    /// # Errors
    /// As the ledger's.
    fn link(&mut self, kind: &str, external_id: &str) -> Result<Option<String>, Self::Error>;
    /// Whom the destination lists with what is asked for; never a link.
    ///
    /// # Errors
    /// As the ledger's.
    fn mirrored(&mut self, ask: Ask<'_>) -> Result<Known, Self::Error>;
    /// What the provider is asked about an external id that no link names, as a
    /// sentence.
    ///
    /// # Errors
    /// As the ledger's.
    fn asked(&mut self, kind: &str, external_id: &str) -> Result<Option<String>, Self::Error>;
    /// Why a customer's payments wait, if the destination does not know it.
    ///
    /// # Errors
    /// As the ledger's.
    fn blocked(&mut self, customer: &Customer) -> Result<Option<String>, Self::Error>;
    /// What stands at the destination for a customer since before this ledger was restored,
    /// told of by nobody yet, and may be the money of this capture at another source; by a
    /// name for people.
    ///
    /// # Errors
    /// As the ledger's.
    fn read_back(
        &mut self,
        customer: &Customer,
        capture: &Captured,
    ) -> Result<Option<String>, Self::Error>;
}

/// Where the payment of `book` stands under `source`'s terms.
///
/// # Errors
/// Only the directory's.
pub fn stand<D: Directory>(
    book: &Book,
    source: &SourceTerms,
    directory: &mut D,
) -> Result<Standing, D::Error> {
    let position = position::position(&book.facts);
    let clue = |field: &str| {
        let found = book.clues.iter().find(|(name, _)| name == field);
        found.map(|(_, value)| value.clone())
    };
    let finding = lookup::find(&source.rules, clue, |ask| match ask {
        Ask::Link { kind, id } => {
            let linked = directory.link(kind, id)?;
            Ok(linked.map_or(Known::Nobody, Known::Customer))
        }
        other => directory.mirrored(other),
    })?;
    let customer = (book.frozen.clone())
        .or_else(|| book.ruling.customer.clone())
        .or_else(|| finding.customer.clone());
    let live = book.rows.iter().filter(|row| row.state == RowState::Live);
    let mut standing = Standing {
        forwarded: live.map(|row| row.amount).fold(0, Minor::saturating_add),
        position,
        finding,
        customer,
        state: State::Ignored,
        reason: None,
        step: Step::Nothing,
    };
    let (state, reason, step) = match before_the_plan(book, source, &standing) {
        Some((state, reason)) => (state, Some(reason), Step::Nothing),
        None => after_the_plan(book, source, &standing, directory)?,
    };
    standing.state = state;
    standing.reason = reason;
    standing.step = step;
    Ok(standing)
}

/// The states that need no plan; `None` where the plan decides. Once the
/// destination may know the payment, only the plan decides.
fn before_the_plan(
    book: &Book,
    source: &SourceTerms,
    standing: &Standing,
) -> Option<(State, String)> {
    let position = &standing.position;
    if book.rows.iter().any(Row::freezes) {
        let settled = !book.rows.iter().any(Row::is_unknown);
        if settled && book.ruling.adopted.is_some() && position.capture.is_none() {
            let reason = "the destination holds transactions of it from before this ledger was \
                          restored, and no provider has told this ledger of it yet";
            return Some((State::Waiting, reason.to_owned()));
        }
        return reason::same_money(book, position).filter(|_| settled);
    }
    if let Some(matches) = book.reference_matches {
        return Some(reason::unresolved(book, matches));
    }
    if book.live.is_some_and(|live| live != source.live) {
        let modes = ["test", "live"].map(str::to_owned);
        let (event, destination) = match source.live {
            true => (&modes[0], &modes[1]),
            false => (&modes[1], &modes[0]),
        };
        let reason = format!(
            "a {event} payment, and the destination \"{}\" is in {destination} mode",
            source.destination
        );
        return Some((State::Ignored, reason));
    }
    let Some(capture) = &position.capture else {
        return Some(reason::without_capture(book, position));
    };
    if capture.gross == 0 {
        return Some((State::Ignored, "the amount is zero".to_owned()));
    }
    if let Some(from) = source.forward_from
        && capture.at < from
        && !book.ruling.released
    {
        return Some((State::Ignored, reason::before_the_start(position, from)));
    }
    if book.ruling.history {
        let reason = "history only: an import recorded it with --no-forward; release forwards it";
        return Some((State::Ignored, reason.to_owned()));
    }
    if book.ruling.skipped.as_ref() == Some(&position.fingerprint()) {
        return Some((State::Ignored, "skipped by a person".to_owned()));
    }
    reason::same_money(book, position)
}

/// How far the destination may have rounded a `created_at`, in milliseconds.
const ROUNDED_MS: i64 = crate::time::SECOND_MS;

/// Whether what the ledger knows explains the rows that were read back into it:
/// they sum to the target, or to what the target was when the newest of them was
/// posted, with other money moved since.
#[must_use]
pub fn explains_adopted(book: &Book, source: &SourceTerms, standing: &Standing) -> bool {
    let Some(until) = book.ruling.adopted else {
        return false;
    };
    let settles = |position: &Position| {
        let policy = plan::policy(position, source.terms, &book.ruling);
        plan::target(position, policy) == Some(standing.forwarded)
    };
    let earlier = [until, until.plus(ROUNDED_MS)].map(|until| {
        let known = book.facts.iter().filter(|fact| fact.at <= until);
        position::position(&known.cloned().collect::<Vec<_>>())
    });
    settles(&standing.position) || earlier.iter().any(settles)
}

fn after_the_plan<D: Directory>(
    book: &Book,
    source: &SourceTerms,
    standing: &Standing,
    directory: &mut D,
) -> Result<(State, Option<String>, Step), D::Error> {
    let customer = standing.customer.as_ref();
    let step = plan::plan(
        &standing.position,
        &book.rows,
        customer,
        source.terms,
        &book.ruling,
    );
    let why = match &step {
        Step::Nothing if book.ruling.skipped.is_some() => {
            let reason = "skipped by a person; what the destination holds was left as it is";
            return Ok((State::Ignored, Some(reason.to_owned()), step));
        }
        Step::Nothing => return Ok((State::Settled, reason::settled(standing, book), step)),
        Step::Hold(reason) => {
            let asked = book.asked.as_ref().filter(|(open, _)| *open);
            let reason = match asked {
                Some((_, asked)) => format!("{reason}; {asked}"),
                None => reason.clone(),
            };
            return Ok((State::Held, Some(reason), Step::Nothing));
        }
        Step::Confirm { .. } => {
            let reason = "the outcome of a call is unknown; it is read back before anything else";
            return Ok((State::Due, Some(reason.to_owned()), step));
        }
        Step::Post { .. } => match customer {
            None => {
                let asked = reason::asked(source, &standing.finding, directory)?;
                let reason = reason::unattributed(&standing.finding);
                Some((State::Unattributed, format!("{reason}{asked}")))
            }
            Some(customer) => {
                let held = match unfit(book, source, standing, &step) {
                    None => reason::perhaps_there(book, standing, customer, directory)?,
                    unfit => unfit,
                };
                match held {
                    Some(why) => Some((State::Held, why)),
                    None => directory
                        .blocked(customer)?
                        .map(|why| (State::Unattributed, why)),
                }
            }
        },
        Step::Delete { .. } => None,
    };
    if let Some((state, reason)) = why {
        return Ok((state, Some(reason), Step::Nothing));
    }
    match &book.failure {
        Some(failure) if failure.step == word(&step) => {
            Ok((State::Failed, Some(failure.why.clone()), Step::Nothing))
        }
        _ => Ok((State::Due, None, step)),
    }
}

/// Why the destination's documented limits would refuse a planned post.
fn unfit(book: &Book, source: &SourceTerms, standing: &Standing, step: &Step) -> Option<String> {
    let standing = Standing {
        step: step.clone(),
        ..standing.clone()
    };
    destination::fits(&transaction(book, source, &standing)?).err()
}

/// The transaction that a planned post stands for; `None` where no post is planned.
#[must_use]
pub fn transaction(
    book: &Book,
    source: &SourceTerms,
    standing: &Standing,
) -> Option<NewTransaction> {
    let Step::Post {
        seq,
        amount,
        at,
        reversal_of,
    } = &standing.step
    else {
        return None;
    };
    let capture = standing.position.capture.as_ref()?;
    let mut metadata = vec![
        ("provider".to_owned(), source.provider.clone()),
        ("source".to_owned(), source.name.clone()),
        ("payment_id".to_owned(), book.payment_id.clone()),
    ];
    if let Some(first) = reversal_of {
        let first = destination::transaction_key(&source.name, &book.payment_id, *first);
        metadata.push(("reversal_of".to_owned(), first));
    }
    Some(NewTransaction {
        key: destination::transaction_key(&source.name, &book.payment_id, *seq),
        customer: standing.customer.clone()?,
        amount: *amount,
        currency: capture.currency,
        created_at: *at,
        product_key: capture.product_key.clone(),
        category_key: capture.category_key.clone(),
        metadata,
    })
}

/// A step in one word, to tell whether a failed step is still the next one.
#[must_use]
pub fn word(step: &Step) -> String {
    match step {
        Step::Post { seq, amount, .. } => format!("post:{seq}:{amount}"),
        Step::Delete { seq } => format!("delete:{seq}"),
        Step::Confirm { seq } => format!("confirm:{seq}"),
        Step::Hold(_) => "hold".to_owned(),
        Step::Nothing => "nothing".to_owned(),
    }
}

/// The effective policy, for showing.
#[must_use]
pub fn effective_policy(standing: &Standing, source: &SourceTerms, book: &Book) -> Policy {
    plan::policy(&standing.position, source.terms, &book.ruling)
}
