//! Folding a payment again: load its book, ask where it stands, write it down.
//!
//! Every verb that changes anything about a payment ends here, in the same
//! transaction, so no verb can leave a payment standing where it no longer is.

use std::collections::BTreeSet;

use crate::ledger::sql::{Row as SqlRow, params, unexpected};

use super::inquire::ASKED;
use super::insert::kinds::{Int, Text};
use super::insert::{Insert, Values, values};
use super::payment::{PaymentRow, payment_by_row};
use super::references::payments_with_alias;
use super::shelf::Shelf;
use super::tx::{Tx, by_word, from_word, read_customer};
use super::unpriced::{PRICED, UNPRICED};
use crate::ledger::LedgerError;
use crate::ledger::book::{self, Book, Failure, SourceTerms, Standing, State};
use crate::money::Minor;
use crate::movement::Fact;
use crate::plan::{Customer, Row, RowState, Ruling, Step};
use crate::position::Doubt;
use crate::time::Time;

/// Nobody's turn, a call's turn, a read-back's turn: the words of `payments.turn`.
pub(super) const NOBODY: i64 = 0;
pub(super) const CALL: i64 = 1;
pub(super) const READ_BACK: i64 = 2;

/// What is told of a payment, in the order in which it was.
const FACTS: &str = "SELECT class, fact_id, basis, rank, version, authority, amount, currency, at,
        partial_capture, product_key, category_key
    FROM facts WHERE payment = ?1 ORDER BY fact";
/// What rules may use of it.
const CLUES: &str = "SELECT field, value FROM clues WHERE payment = ?1 ORDER BY field";
/// Its transactions, in the order of their keys.
const ROWS: &str = "SELECT seq, customer, customer_by, currency, amount, state, undeletable, note
    FROM transactions WHERE payment = ?1 ORDER BY seq";
/// What people decided about it, in that order.
const DECISIONS: &str =
    "SELECT kind, detail, made_for FROM decisions WHERE payment = ?1 ORDER BY decision";

/// How payments that nobody told of before get into their table, as they stand.
pub(super) const STANDINGS: Insert = Insert {
    one: "INSERT INTO payments (payment, source, payment_id, scope, live, destination,
              customer, customer_by, frozen, currency, gross, reversed, forwarded, occurred_at,
              first_seen, changed_at, state, reason, tried, lane, turn, due_at, due_since,
              booked)
          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
              ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
    kinds: &[
        Int, Int, Text, Text, Int, Text, Text, Text, Int, Text, Int, Int, Int, Int, Int, Int, Text,
        Text, Text, Int, Int, Int, Int, Text,
    ],
};

/// A payment after folding.
pub(super) struct Folded {
    pub row: PaymentRow,
    pub book: Book,
    pub standing: Standing,
}

impl Folded {
    /// Whether a fold may do more than write down where it stands: it asks the provider,
    /// and looks for what a lost ledger may have posted of money that went back.
    pub(super) fn wants_more(&self, terms: &SourceTerms) -> bool {
        let (standing, rows) = (&self.standing, &self.book.rows);
        let doubtful = standing.position.doubt == Some(Doubt::Unlisted);
        let unfinished = doubtful || standing.state == State::Unattributed;
        let asks = unfinished && !terms.asks.is_empty();
        asks || standing.state == State::Settled && !rows.iter().any(Row::freezes)
    }

    /// Whether nobody had told of its sale until this fold, while the destination holds
    /// something of it.
    pub(super) fn was_only_read_back(&self) -> bool {
        self.row.booked.is_none() && self.book.rows.iter().any(Row::freezes)
    }
}

/// The columns of a payment that a standing decides.
struct Kept<'f> {
    currency: Option<String>,
    gross: Option<Minor>,
    reversed: Option<Minor>,
    forwarded: Minor,
    occurred_at: i64,
    state: &'static str,
    reason: Option<&'f str>,
    tried: String,
    customer: Option<&'f str>,
    customer_by: Option<&'static str>,
    frozen: bool,
    turn: i64,
    due_at: Option<i64>,
    claim: Option<i64>,
    destination: &'f str,
}

impl Tx<'_> {
    /// Folds a payment and writes down where it stands, and where others do who have to
    /// see that.
    pub(super) fn fold(&self, payment: i64) -> Result<Folded, LedgerError> {
        let folded = self.fold_alone(payment)?;
        let mut others = BTreeSet::new();
        if concerns_rivals(&folded) {
            others = self.rivals(payment)?;
        }
        if folded.was_only_read_back() {
            others.extend(self.held_for(&folded.row)?);
        }
        for other in others {
            // Not what these tell in turn, which may be this one again.
            self.fold_alone(other)?;
        }
        Ok(folded)
    }

    fn fold_alone(&self, payment: i64) -> Result<Folded, LedgerError> {
        self.look_ahead(payment)?;
        self.ahead(PRICED, [payment])?;
        self.price(payment)?;
        let mut folded = self.look(payment)?;
        if self.raise_for(&folded)? {
            folded = self.look(payment)?;
        }
        if book::explains_adopted(
            &folded.book,
            self.terms(&folded.row.source)?,
            &folded.standing,
        ) {
            self.note_explained(&folded)?;
            folded = self.look(payment)?;
        }
        if self.presume_settled(&folded)? {
            folded = self.look(payment)?;
        }
        self.write_standing(&folded)?;
        self.keep_days([&folded])?;
        Ok(folded)
    }

    /// Folds a payment without writing.
    pub(super) fn look(&self, payment: i64) -> Result<Folded, LedgerError> {
        self.look_ahead(payment)?;
        let row = self.payment(payment)?;
        let book = self.book(&row)?;
        self.stood(row, book)
    }

    /// Says that a payment will be looked at.
    fn look_ahead(&self, payment: i64) -> Result<(), LedgerError> {
        self.ahead(&payment_by_row(), [payment])?;
        for told in [ROWS, DECISIONS, FACTS, CLUES, UNPRICED, ASKED] {
            self.ahead(told, [payment])?;
        }
        Ok(())
    }

    /// Where the payment of this book stands.
    pub(super) fn stood(&self, row: PaymentRow, book: Book) -> Result<Folded, LedgerError> {
        let source = self.terms(&row.source)?;
        let mut directory = Shelf {
            tx: self,
            payment: &row,
        };
        let standing = book::stand(&book, source, &mut directory)?;
        Ok(Folded {
            row,
            book,
            standing,
        })
    }

    /// All that is known of a payment.
    fn book(&self, row: &PaymentRow) -> Result<Book, LedgerError> {
        let rows = self.rows(row.payment)?;
        let frozen = rows.iter().any(Row::freezes);
        let failure = row.failed_step.clone().zip(row.failed_why.clone());
        let ruling = self.ruling(row.payment)?;
        // A move replaces the customer under which the payment was frozen.
        let moved = ruling.customer.clone();
        Ok(Book {
            payment_id: row.payment_id.clone(),
            live: row.live,
            reference_matches: match row.reference {
                true => Some(self.reference_matches(row)?),
                false => None,
            },
            facts: self.facts(row.payment)?,
            clues: self.all(CLUES, [row.payment], |row| Ok((row.get(0)?, row.get(1)?)))?,
            frozen: if frozen {
                moved.or(row.customer.clone())
            } else {
                None
            },
            same_money_as: self.same_money_as(row, &rows)?,
            rows,
            ruling,
            failure: failure.map(|(step, why)| Failure { step, why }),
            unpriced: self.unpriced(row.payment)?,
            asked: self.asked_about(&row.source, row.payment)?,
        })
    }

    pub(super) fn facts(&self, payment: i64) -> Result<Vec<Fact>, LedgerError> {
        self.all(FACTS, [payment], read_fact)
    }

    /// The destination's side of a payment, in the order of its keys.
    pub(super) fn rows(&self, payment: i64) -> Result<Vec<Row>, LedgerError> {
        self.all(ROWS, [payment], |row| {
            Ok(Row {
                seq: row.get(0)?,
                customer: read_customer(row, 1)?.ok_or_else(|| unexpected("a word"))?,
                currency: from_word(row.get(3)?)?,
                amount: row.get(4)?,
                state: from_word(row.get(5)?)?,
                undeletable: row.get(6)?,
                note: row.get(7)?,
            })
        })
    }

    /// Decisions in the order in which they were made; a later one replaces an
    /// earlier one of its kind, and any takes a skip back.
    pub(super) fn ruling(&self, payment: i64) -> Result<Ruling, LedgerError> {
        let mut ruling = Ruling::default();
        let decisions = self.all(DECISIONS, [payment], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        })?;
        for (kind, detail, made_for) in decisions {
            match kind.as_str() {
                "skip" => ruling.skipped = Some(made_for),
                "attach" => continue,
                "history" => ruling.history = true,
                "retry" => ruling.skipped = None,
                "adopt" => ruling.adopted = detail.parse().ok().map(Time).or(Some(Time(0))),
                "explained" => ruling.adopted = None,
                "accept" => {
                    ruling = Ruling {
                        skipped: None,
                        accepted: Some(made_for),
                        released: true,
                        history: false,
                        adopted: None,
                        ..ruling
                    };
                }
                "policy" => {
                    let policy = from_word(detail)?;
                    ruling = Ruling {
                        skipped: None,
                        accepted: Some(made_for.clone()),
                        policy: Some((policy, made_for)),
                        released: true,
                        history: false,
                        adopted: None,
                        ..ruling
                    };
                }
                "customer" | "move" => {
                    ruling.skipped = None;
                    ruling.customer = Some(Customer::key(detail));
                }
                other => {
                    return Err(LedgerError::Unusable(format!(
                        "a decision of unknown kind {other}"
                    )));
                }
            }
        }
        Ok(ruling)
    }

    fn reference_matches(&self, row: &PaymentRow) -> Result<usize, LedgerError> {
        let named = self.one(
            "SELECT ref_kind, ref_id FROM facts WHERE payment = ?1 AND ref_kind IS NOT NULL LIMIT 1",
            [row.payment],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )?;
        match named {
            Some((kind, id)) => {
                Ok(payments_with_alias(self, row.source_row, &row.scope, &kind, &id)?.len())
            }
            None => Ok(0),
        }
    }

    /// Writes a standing down.
    pub(super) fn write_standing(&self, folded: &Folded) -> Result<(), LedgerError> {
        let kept = self.kept(folded)?;
        self.queue(
            "UPDATE payments SET currency = ?2, gross = ?3, reversed = ?4, forwarded = ?5,
                 occurred_at = ?6, state = ?7, reason = ?8, tried = ?9, customer = ?10,
                 customer_by = ?11, frozen = ?12, turn = ?13, due_at = ?14, claim = ?15,
                 changed_at = ?16, destination = ?17,
                 due_since = CASE WHEN ?13 = 0 THEN NULL ELSE coalesce(due_since, ?16) END
             WHERE payment = ?1",
            params![
                folded.row.payment,
                kept.currency,
                kept.gross,
                kept.reversed,
                kept.forwarded,
                kept.occurred_at,
                kept.state,
                kept.reason,
                kept.tried,
                kept.customer,
                kept.customer_by,
                kept.frozen,
                kept.turn,
                kept.due_at,
                kept.claim,
                self.now.ms(),
                kept.destination,
            ],
        )
    }

    /// The row of a payment that nobody told of before, as it stands, for [`STANDINGS`].
    pub(super) fn standing_values(
        &self,
        payment: i64,
        folded: &Folded,
        lane: i64,
        booked: Option<&str>,
    ) -> Result<Values, LedgerError> {
        let (kept, row) = (self.kept(folded)?, &folded.row);
        values(params![
            payment,
            row.source_row,
            row.payment_id,
            row.scope,
            row.live,
            kept.destination,
            kept.customer,
            kept.customer_by,
            kept.frozen,
            kept.currency,
            kept.gross,
            kept.reversed,
            kept.forwarded,
            kept.occurred_at,
            self.now.ms(),
            self.now.ms(),
            kept.state,
            kept.reason,
            kept.tried,
            lane,
            kept.turn,
            kept.due_at,
            kept.due_at.map(|_| self.now.ms()),
            booked,
        ])
    }

    /// A standing as the columns of a payment. The turn follows from the step: a
    /// call under way keeps its claim and its time, a new step is due now.
    fn kept<'f>(&'f self, folded: &'f Folded) -> Result<Kept<'f>, LedgerError> {
        let Folded {
            row,
            standing,
            book,
        } = folded;
        let turn = match standing.step {
            Step::Confirm { .. } => READ_BACK,
            Step::Post { .. } | Step::Delete { .. } => CALL,
            Step::Hold(_) | Step::Nothing => NOBODY,
        };
        let same_turn = row.turn == turn;
        let due_at = match turn {
            NOBODY => None,
            _ if same_turn => row.due_at.or(Some(self.now)),
            _ => Some(self.now),
        };
        let frozen = book.rows.iter().any(Row::freezes);
        let position = &standing.position;
        let moved = position.capture.as_ref().map(|capture| capture.at);
        let moved = moved.or_else(|| book.facts.iter().map(|fact| fact.at).min());
        let customer = standing.customer.as_ref();
        Ok(Kept {
            currency: position.capture.as_ref().map(|it| it.currency.to_string()),
            gross: position.gross(),
            reversed: position.reversed(),
            forwarded: standing.forwarded,
            occurred_at: moved.unwrap_or(row.occurred_at).ms(),
            state: standing.state.word(),
            reason: standing.reason.as_deref(),
            tried: serde_json::to_string(&standing.finding.tried).unwrap_or_default(),
            customer: customer.map(|customer| customer.value.as_str()),
            customer_by: customer.map(|customer| by_word(customer.by)),
            frozen,
            turn,
            due_at: due_at.map(Time::ms),
            claim: row.claim.filter(|_| same_turn && turn != NOBODY),
            // The destination freezes with the customer, at the first call.
            destination: match frozen {
                true => &row.destination,
                false => &self.terms(&row.source)?.destination,
            },
        })
    }

    /// Changes what is known of one transaction.
    pub(super) fn set_row(
        &self,
        payment: i64,
        seq: u32,
        state: RowState,
        note: Option<&str>,
    ) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE transactions SET state = ?3, note = ?4 WHERE payment = ?1 AND seq = ?2",
            params![payment, seq, super::tx::word_of(&state)?, note],
        )
    }
}

pub(super) fn read_fact(row: &SqlRow<'_>) -> Result<Fact, LedgerError> {
    Ok(Fact {
        class: from_word(row.get(0)?)?,
        id: row.get(1)?,
        basis: from_word(row.get(2)?)?,
        rank: row.get(3)?,
        version: row.get(4)?,
        authority: from_word(row.get(5)?)?,
        amount: row.get(6)?,
        currency: from_word(row.get(7)?)?,
        at: Time(row.get(8)?),
        partial_capture: row.get(9)?,
        product_key: row.get(10)?,
        category_key: row.get(11)?,
    })
}

/// Whether others with the same money may stand otherwise by now, who were folded before:
/// who goes first is decided anew when its money is told, and when what a lost ledger may
/// have posted of it is looked for in vain.
fn concerns_rivals(folded: &Folded) -> bool {
    let rows = &folded.book.rows;
    let first = folded.row.booked.is_none() && folded.standing.position.gross() > Some(0);
    let in_vain = !rows.is_empty() && !rows.iter().any(Row::freezes);
    first || in_vain
}
