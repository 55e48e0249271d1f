//! What the rows of a batch came to, and how the money of their payments changed.

use std::collections::{BTreeSet, HashMap};

use super::LedgerError;
use super::stand::Folded;
use super::tx::Tx;
use crate::ledger::book::State;
use crate::ledger::rows::{Changes, Fate, RowTold, RowsTaken, Standing, StatedRow, Sums};
use crate::ledger::sql::unexpected;

/// A row's way through its batch.
pub(super) struct Way {
    pub line: u64,
    /// The payment whose state it is told with.
    pub payment: Option<i64>,
    pub news: bool,
}

/// What the rows of a batch came to.
#[derive(Default)]
pub(super) struct Recorded {
    pub ways: Vec<Way>,
    /// To be folded at its end.
    pub touched: BTreeSet<i64>,
    /// Those of them that were made by this batch.
    pub fresh: BTreeSet<i64>,
    /// Rows that could not be recorded, and why.
    pub rejected: HashMap<usize, String>,
    /// Rows of which nothing is counted, and why.
    pub ignored: HashMap<usize, String>,
    /// How the payments stand, where one was folded.
    pub stands: HashMap<i64, (State, Option<String>)>,
    pub changes: Changes,
    pub due: i64,
}

impl Tx<'_> {
    /// Folds a payment and counts how its money changed. One that is gone was a
    /// stand-in whose reversals found their payment.
    pub(super) fn fold_counted(
        &self,
        payment: i64,
        batch: &mut Recorded,
    ) -> Result<(), LedgerError> {
        let Some(before) = self.standing_now(payment)? else {
            return Ok(());
        };
        let folded = self.fold(payment)?;
        let before = before.filter(|_| !batch.fresh.contains(&payment));
        batch.count(payment, before, &folded);
        Ok(())
    }

    /// How a payment stood until now; `None` inside for one that was never folded.
    fn standing_now(&self, payment: i64) -> Result<Option<Option<(Standing, Sums)>>, LedgerError> {
        self.one(
            "SELECT state, customer, currency, gross, reversed, tried IS NULL FROM payments
             WHERE payment = ?1",
            [payment],
            |row| {
                if row.get(5)? {
                    return Ok(None);
                }
                let state: String = row.get(0)?;
                let currency: Option<String> = row.get(2)?;
                let at = Standing {
                    state: State::from_word(&state).ok_or_else(|| unexpected("a word"))?,
                    customer: row.get(1)?,
                    currency: currency.and_then(|code| code.parse().ok()),
                };
                let sums = Sums {
                    payments: 1,
                    gross: row.get::<_, Option<i64>>(3)?.unwrap_or_default(),
                    reversed: row.get::<_, Option<i64>>(4)?.unwrap_or_default(),
                };
                Ok(Some((at, sums)))
            },
        )
    }
}

impl Recorded {
    pub(super) fn count(
        &mut self,
        payment: i64,
        before: Option<(Standing, Sums)>,
        folded: &Folded,
    ) {
        let standing = &folded.standing;
        let capture = standing.position.capture.as_ref();
        let was_due = matches!(&before, Some((was, _)) if was.state == State::Due);
        self.due += i64::from(standing.state == State::Due) - i64::from(was_due);
        self.stands
            .insert(payment, (standing.state, standing.reason.clone()));
        // A stand-in is no payment: what it holds moves on to one.
        if folded.row.reference {
            return;
        }
        if let Some((was, sums)) = before {
            let gone = Sums {
                payments: -sums.payments,
                gross: -sums.gross,
                reversed: -sums.reversed,
            };
            self.changes.add(was, gone);
        }
        let at = Standing {
            state: standing.state,
            customer: standing.customer.as_ref().map(|it| it.value.clone()),
            currency: capture.map(|capture| capture.currency),
        };
        let sums = Sums {
            payments: 1,
            gross: standing.position.gross().unwrap_or_default(),
            reversed: standing.position.reversed().unwrap_or_default(),
        };
        self.changes.add(at, sums);
    }

    pub(super) fn tell(self, taken: &mut RowsTaken) {
        for (index, way) in self.ways.into_iter().enumerate() {
            let stands = way.payment.and_then(|payment| self.stands.get(&payment));
            let (outcome, reason) = match (way.news, stands) {
                _ if self.rejected.contains_key(&index) => {
                    (Fate::Rejected, self.rejected.get(&index).cloned())
                }
                (false, _) if self.ignored.contains_key(&index) => {
                    (Fate::Ignored, self.ignored.get(&index).cloned())
                }
                (false, _) => (Fate::Known, None),
                (true, Some((State::Unattributed, reason))) => (Fate::Unattributed, reason.clone()),
                (true, Some((State::Due | State::Settled, _)) | None) => (Fate::Imported, None),
                (true, Some((_, reason))) => (Fate::Imported, reason.clone()),
            };
            taken.told.push(RowTold {
                line: way.line,
                outcome,
                reason,
            });
        }
        taken.changes.merge(self.changes);
        taken.due += self.due;
    }
}

/// A row of a chunk that was recorded before.
pub(super) fn known_again((line, reading): &StatedRow) -> RowTold {
    RowTold {
        line: *line,
        outcome: match reading.ignored {
            None => Fate::Known,
            Some(_) => Fate::Ignored,
        },
        reason: reading.ignored.clone(),
    }
}
