//! What people decide and state: retry, skip, release, refund, attach.
//!
//! Every decision is a stored fact: who, why, and the position it was made for.

use std::collections::BTreeSet;

use crate::ledger::sql::params;

use super::list::Order;
use super::record::Origin;
use super::stand::{CALL, Folded};
use super::tx::{Tx, by_word, word_of};
use super::{LedgerError, Store};
use crate::ledger::book::State;
use crate::ledger::texts::refuse_nul;
use crate::ledger::{Cursor, Decided, Decision, Filter, Statement, Word};
use crate::lookup::CUSTOMER_KEY_MOST_CHARS;
use crate::money::{LARGEST_MINOR, Minor};
use crate::movement::{Authority, Basis, Class, Fact, rank};
use crate::plan::{Row, RowState};

/// Payments that one transaction decides on; intake waits no longer than that.
const DECIDED_AT_ONCE: usize = 200;

impl Store {
    /// As [`crate::ledger::Ledger::decide`].
    pub(in crate::ledger) async fn decide(
        &self,
        filter: Filter,
        decision: Decision,
        word: Word,
        dry_run: bool,
    ) -> Result<(Vec<Decided>, Option<Cursor>), LedgerError> {
        let customer = match &decision {
            Decision::Customer { customer } | Decision::Move { customer } => customer,
            _ => "",
        };
        refuse_nul([("the customer key", customer), ("the reason", &word.why)])?;
        let verb = move |tx: &Tx<'_>| {
            let places = tx
                .listed(&filter, DECIDED_AT_ONCE, Order::NewestFirst)?
                .places;
            let next = match places.len() {
                DECIDED_AT_ONCE => places.last().map(|place| Cursor::after(*place)),
                _ => None,
            };
            let lines: Result<Vec<_>, _> = places
                .into_iter()
                .map(|place| tx.decide(place.payment, &decision, &word, dry_run))
                .collect();
            Ok((lines?, next))
        };
        match dry_run {
            true => self.read(verb).await,
            false => self.write(verb).await,
        }
    }

    /// As [`crate::ledger::Ledger::state`].
    pub(in crate::ledger) async fn state(
        &self,
        source: &str,
        payment_id: &str,
        statement: Statement,
        word: Word,
    ) -> Result<Decided, LedgerError> {
        let named = match &statement {
            Statement::Refund { refund_id, .. } => ("the refund's id", refund_id.as_str()),
            Statement::Attach { reversal_id } => ("the reversal's id", reversal_id.as_str()),
        };
        refuse_nul([
            named,
            ("the payment's id", payment_id),
            ("the reason", &word.why),
        ])?;
        let (source, payment_id) = (source.to_owned(), payment_id.to_owned());
        self.write(move |tx| match &statement {
            Statement::Refund { refund_id, amount } => {
                tx.refund(&source, &payment_id, refund_id, *amount, &word)
            }
            Statement::Attach { reversal_id } => {
                tx.attach(&source, &payment_id, reversal_id, &word)
            }
        })
        .await
    }
}

impl Tx<'_> {
    fn decide(
        &self,
        payment: i64,
        decision: &Decision,
        word: &Word,
        dry_run: bool,
    ) -> Result<Decided, LedgerError> {
        let folded = self.look(payment)?;
        let line = |after, refused| Decided {
            source: folded.row.source.clone(),
            payment_id: folded.row.payment_id.clone(),
            before: folded.row.state,
            after,
            refused,
        };
        let live = self.terms(&folded.row.source)?.live;
        if let Some(refused) = refusal(&folded, decision, live) {
            return Ok(line(folded.row.state, Some(refused)));
        }
        if dry_run {
            return Ok(line(expected(&folded, decision), None));
        }
        self.write_decision(payment, decision, word)?;
        match decision {
            Decision::Retry => {
                self.try_again(&folded)?;
                self.ask_again(&folded)?;
            }
            Decision::Accept => self.accept_rows(&folded)?,
            Decision::Policy { .. } => self.accept_rows(&folded)?,
            Decision::Skip { .. } | Decision::Customer { .. } | Decision::Move { .. } => {}
        }
        let after = self.fold(payment)?;
        Ok(line(after.standing.state, None))
    }

    pub(super) fn write_decision(
        &self,
        payment: i64,
        decision: &Decision,
        word: &Word,
    ) -> Result<(), LedgerError> {
        let made_for = self.look(payment)?.standing.position.fingerprint();
        let detail = match decision {
            Decision::Policy { policy } => word_of(policy)?,
            Decision::Customer { customer } | Decision::Move { customer } => customer.clone(),
            Decision::Skip { leave: true } => "leave".to_owned(),
            _ => String::new(),
        };
        self.queue(
            "INSERT INTO decisions (payment, kind, detail, who, why, at, made_for)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                payment,
                decision.word(),
                detail,
                word.who,
                word.why,
                word.at.ms(),
                made_for
            ],
        )
    }

    /// Forgets why calling was given up, and asks the destination for the
    /// customer again at once.
    fn try_again(&self, folded: &Folded) -> Result<(), LedgerError> {
        let row = &folded.row;
        self.queue(
            "UPDATE payments SET failed_step = NULL, failed_why = NULL, tries = 0, patience_used = 0,
                 due_at = CASE WHEN turn = ?2 AND claim IS NULL THEN ?3 ELSE due_at END
             WHERE payment = ?1",
            params![row.payment, CALL, self.now.ms()],
        )?;
        if let Some(customer) = &folded.standing.customer {
            self.queue(
                "UPDATE customers SET unknown_since = NULL, next_probe_at = NULL
                 WHERE destination = ?1 AND customer = ?2 AND customer_by = ?3",
                params![row.destination, customer.value, by_word(customer.by)],
            )?;
        }
        Ok(())
    }

    /// "Go on": what the destination holds is taken as it is and planned from there.
    fn accept_rows(&self, folded: &Folded) -> Result<(), LedgerError> {
        for row in &folded.book.rows {
            match row.state {
                RowState::Missing => {
                    self.set_row(
                        folded.row.payment,
                        row.seq,
                        RowState::Gone,
                        Some("accepted as deleted"),
                    )?;
                }
                RowState::Suspect => self.accept_suspect(folded.row.payment, row.seq)?,
                _ => {}
            }
            if row.undeletable {
                self.queue(
                    "UPDATE transactions SET undeletable = 0 WHERE payment = ?1 AND seq = ?2",
                    params![folded.row.payment, row.seq],
                )?;
            }
        }
        Ok(())
    }

    /// What was seen there counts as ours from here on; where nothing was seen
    /// yet, it is read back first.
    fn accept_suspect(&self, payment: i64, seq: u32) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE transactions
             SET state = CASE WHEN seen_amount IS NULL THEN 'post_unknown'
                              WHEN seen_amount = 0 THEN 'gone' ELSE 'live' END,
                 amount = coalesce(nullif(seen_amount, 0), amount),
                 note = 'accepted by a person as it stands there'
             WHERE payment = ?1 AND seq = ?2",
            params![payment, seq],
        )
    }

    fn refund(
        &self,
        source: &str,
        payment_id: &str,
        refund_id: &str,
        amount: Minor,
        word: &Word,
    ) -> Result<Decided, LedgerError> {
        let payment = self.named(source, payment_id)?;
        let folded = self.look(payment)?;
        let Some(capture) = &folded.standing.position.capture else {
            return Err(LedgerError::Refused(format!(
                "{source} {payment_id} has no captured money to refund"
            )));
        };
        if !(1..=LARGEST_MINOR).contains(&amount) {
            return Err(LedgerError::Refused(
                "the amount must be above 0, in minor units".to_owned(),
            ));
        }
        // Spaces around it are a slip of the hand, not another refund.
        let refund_id = refund_id.trim();
        if !(1..=255).contains(&refund_id.chars().count()) {
            return Err(LedgerError::Refused(
                "the refund id must have 1 to 255 characters".to_owned(),
            ));
        }
        let known = folded.book.facts.iter().find(|fact| {
            fact.class == Class::Refund && fact.basis == Basis::Each && fact.id == refund_id
        });
        match known {
            Some(fact) if fact.amount != amount => {
                return Err(LedgerError::Refused(format!(
                    "the refund {refund_id} is known with {}",
                    fact.currency.show(fact.amount)
                )));
            }
            Some(_) => {}
            None => {
                let fact = Fact {
                    class: Class::Refund,
                    id: refund_id.to_owned(),
                    basis: Basis::Each,
                    rank: rank::LIVE,
                    version: 0,
                    authority: Authority::Api,
                    amount,
                    currency: capture.currency,
                    at: word.at,
                    partial_capture: false,
                    product_key: None,
                    category_key: None,
                };
                let origin = Origin {
                    delivery: None,
                    said_by: Some(&word.who),
                    said_at: word.at,
                };
                self.add_fact(payment, &fact, origin, None)?;
            }
        }
        self.decided(&folded)
    }

    fn decided(&self, before: &Folded) -> Result<Decided, LedgerError> {
        let after = self.fold(before.row.payment)?;
        Ok(Decided {
            source: before.row.source.clone(),
            payment_id: before.row.payment_id.clone(),
            before: before.row.state,
            after: after.standing.state,
            refused: None,
        })
    }

    fn named(&self, source: &str, payment_id: &str) -> Result<i64, LedgerError> {
        let source_row = self.source_row(source)?;
        self.payment_named(source_row, payment_id)?
            .ok_or_else(|| LedgerError::NotFound(format!("{source} has no payment {payment_id}")))
    }

    fn attach(
        &self,
        source: &str,
        payment_id: &str,
        reversal_id: &str,
        word: &Word,
    ) -> Result<Decided, LedgerError> {
        let source_row = self.source_row(source)?;
        let payment = self.named(source, payment_id)?;
        let facts = self.all(
            "SELECT fact, facts.payment FROM facts JOIN payments USING (payment)
             WHERE source = ?1 AND (fact_id = ?2 OR payment_id = ?2) AND class <> 'capture'
               AND (reference = 1 OR facts.payment = ?3)",
            params![source_row, reversal_id, payment],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )?;
        if facts.is_empty() {
            return Err(LedgerError::NotFound(format!(
                "{source} has no reversal {reversal_id} that waits for a payment"
            )));
        }
        let before = self.look(payment)?;
        let mut left = BTreeSet::new();
        for (fact, stood_at) in facts {
            if stood_at == payment {
                continue;
            }
            let id: String = self
                .one("SELECT fact_id FROM facts WHERE fact = ?1", [fact], |row| {
                    row.get(0)
                })?
                .unwrap_or_default();
            self.queue(
                "UPDATE facts SET payment = ?2, ref_kind = NULL, ref_id = NULL WHERE fact = ?1",
                [fact, payment],
            )?;
            self.queue(
                "INSERT INTO decisions (payment, kind, detail, who, why, at, made_for)
                 VALUES (?1, 'attach', ?2, ?3, ?4, ?5, '')",
                params![payment, id, word.who, word.why, word.at.ms()],
            )?;
            left.insert(stood_at);
        }
        for stand_in in left {
            if !self.drop_empty_stand_in(stand_in)? {
                self.fold(stand_in)?;
            }
        }
        self.decided(&before)
    }
}

/// Why a decision does not fit a payment.
fn refusal(folded: &Folded, decision: &Decision, destination_live: bool) -> Option<String> {
    let (state, rows) = (folded.row.state, &folded.book.rows);
    let under_way = rows.iter().any(Row::is_unknown);
    let live = rows.iter().any(|row| row.state == RowState::Live);
    let forwarded = rows.iter().any(Row::freezes);
    let only = |wanted: &[State], what: &str| {
        let words: Vec<&str> = wanted.iter().map(|state| state.word()).collect();
        (!wanted.contains(&state)).then(|| {
            format!(
                "{what} takes {} payments, and this one is {}",
                words.join(" or "),
                state.word()
            )
        })
    };
    match decision {
        // A question that got nothing is asked again.
        Decision::Retry if folded.book.asked.as_ref().is_some_and(|(open, _)| !open) => None,
        Decision::Retry => only(&[State::Failed, State::Unattributed], "retry"),
        Decision::Skip { .. } if under_way => {
            Some("a call for it is under way; try again when its outcome is known".to_owned())
        }
        Decision::Skip { leave: false } if live => Some(
            "the destination holds live transactions for it; add --leave to leave them there"
                .to_owned(),
        ),
        Decision::Skip { .. } => match state {
            State::Settled if !live => Some("there is nothing to skip: it is settled".to_owned()),
            _ => None,
        },
        // What was from before the start waits for exactly this word.
        Decision::Accept | Decision::Policy { .. }
            if nothing_to_release(folded, destination_live) =>
        {
            Some("there is no money in it that could be forwarded".to_owned())
        }
        Decision::Accept | Decision::Policy { .. } => {
            only(&[State::Held, State::Ignored], "release")
        }
        Decision::Customer { .. } if forwarded => {
            Some("it was forwarded under another customer; use link --move to move it".to_owned())
        }
        Decision::Customer { customer } | Decision::Move { customer } => {
            match customer.trim().chars().count() {
                1..=CUSTOMER_KEY_MOST_CHARS => None,
                _ => Some(format!(
                    "a customer key must have 1 to {CUSTOMER_KEY_MOST_CHARS} characters"
                )),
            }
        }
    }
}

/// Ignored for a reason that no word can change: no money, or the other mode.
fn nothing_to_release(folded: &Folded, destination_live: bool) -> bool {
    let no_money = folded
        .standing
        .position
        .gross()
        .is_none_or(|gross| gross == 0);
    let other_mode = folded.row.live.is_some_and(|live| live != destination_live);
    folded.row.state == State::Ignored && (no_money || other_mode)
}

/// What a decision will probably come to, for a dry run.
fn expected(folded: &Folded, decision: &Decision) -> State {
    match decision {
        Decision::Skip { .. } => State::Ignored,
        Decision::Move { .. } if !folded.book.rows.iter().any(Row::freezes) => folded.row.state,
        _ => State::Due,
    }
}
