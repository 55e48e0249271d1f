//! The mirror of the destination's lists: whose turn it is to be read, and taking
//! a page in, one transaction each.
//!
//! Rows repeat harmlessly, and where a read is stands beside them, so that a crash
//! between two pages costs one page. Nothing here changes what is true about a
//! payment: a customer that became known only lets it go on.

use crate::ledger::sql::params;

use super::mirrored::Released;
use super::tx::{Tx, from_word};
use super::{LedgerError, Store};
use crate::destination::{List, RosterRows};
use crate::ledger::mirror::{
    ABANDONED_MS, Extent, FULL_EVERY_MS, MirrorFailure, MirrorFigures, MirrorPage, MirrorRead,
    MirrorTaken, MirrorTurn, OVERLAP_MS,
};
use crate::lookup::Rule;
use crate::time::Time;

/// Rows that are written down as gone in one transaction: a few milliseconds.
const SWEPT_AT_ONCE: i64 = 500;

/// What is known of the reads of one list.
struct Kept {
    read: Option<MirrorRead>,
    sweeping: bool,
    emails: bool,
    wanted: bool,
    read_at: Option<Time>,
    full_at: Option<Time>,
}

impl Store {
    /// As [`crate::ledger::Ledger::mirror_begin`].
    pub(in crate::ledger) async fn mirror_begin(
        &self,
        destination: &str,
        extent: Extent,
    ) -> Result<(), LedgerError> {
        let destination = destination.to_owned();
        self.write(move |tx| tx.mirror_begin(&destination, extent))
            .await
    }

    /// As [`crate::ledger::Ledger::mirror_next`].
    pub(in crate::ledger) async fn mirror_next(
        &self,
        destination: &str,
    ) -> Result<Option<MirrorTurn>, LedgerError> {
        let destination = destination.to_owned();
        self.write(move |tx| tx.mirror_next(&destination)).await
    }

    /// As [`crate::ledger::Ledger::mirror_take`].
    pub(in crate::ledger) async fn mirror_take(
        &self,
        page: MirrorPage,
    ) -> Result<MirrorTaken, LedgerError> {
        self.write(move |tx| tx.mirror_take(page)).await
    }

    /// As [`crate::ledger::Ledger::mirror_sweep`].
    pub(in crate::ledger) async fn mirror_sweep(
        &self,
        read: MirrorRead,
    ) -> Result<MirrorTaken, LedgerError> {
        self.write(move |tx| tx.mirror_sweep(&read)).await
    }

    /// As [`crate::ledger::Ledger::mirror_failed`].
    pub(in crate::ledger) async fn mirror_failed(
        &self,
        failure: MirrorFailure,
    ) -> Result<(), LedgerError> {
        self.write(move |tx| tx.mirror_failed(&failure)).await
    }

    /// As [`crate::ledger::Ledger::mirror_figures`].
    pub(in crate::ledger) async fn mirror_figures(
        &self,
        destination: &str,
    ) -> Result<MirrorFigures, LedgerError> {
        let destination = destination.to_owned();
        self.read(move |tx| tx.mirror_figures(&destination)).await
    }
}

impl Tx<'_> {
    fn mirror_begin(&self, destination: &str, extent: Extent) -> Result<(), LedgerError> {
        let emails = self.keeps_emails(destination);
        for list in List::ALL {
            let kept = self.kept_read(destination, list)?;
            let all = extent == Extent::All;
            let stale = |at: Time| self.now.since(at) >= FULL_EVERY_MS;
            let full = all
                || kept.full_at.is_none_or(stale)
                || (list == List::Customers && kept.emails != emails);
            if let Some(read) = &kept.read
                && self.now.since(read.began_at) < ABANDONED_MS
                && (read.since.is_none() || !full)
            {
                continue;
            }
            // No filter is known for partners, so they are read where one is missed.
            if list == List::Partners && !full && !kept.wanted {
                continue;
            }
            let since = kept.read_at.filter(|_| !full && list != List::Partners);
            self.begin_read(destination, list, since, emails)?;
        }
        Ok(())
    }

    fn begin_read(
        &self,
        destination: &str,
        list: List,
        read_at: Option<Time>,
        emails: bool,
    ) -> Result<(), LedgerError> {
        // A clock that was ahead and put right must not hide what is new since.
        let since = read_at.map(|at| at.min(self.now).plus(-OVERLAP_MS).ms());
        self.queue(
            "INSERT INTO mirror_reads (destination, kind, began_at, since, emails)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (destination, kind) DO UPDATE
             SET began_at = excluded.began_at, since = excluded.since, emails = excluded.emails,
                 after = NULL, sweeping = 0, wanted = 0",
            params![destination, list.word(), self.now.ms(), since, emails],
        )
    }

    fn mirror_next(&self, destination: &str) -> Result<Option<MirrorTurn>, LedgerError> {
        for list in List::ALL {
            let kept = self.kept_read(destination, list)?;
            if let Some(read) = kept.read {
                return Ok(Some(match kept.sweeping {
                    true => MirrorTurn::Sweep(read),
                    false => MirrorTurn::Ask(read),
                }));
            }
            if list == List::Partners && kept.wanted {
                self.begin_read(destination, list, None, kept.emails)?;
                return self.mirror_next(destination);
            }
        }
        Ok(None)
    }

    fn mirror_take(&self, page: MirrorPage) -> Result<MirrorTaken, LedgerError> {
        let MirrorPage {
            read,
            rows,
            next,
            reward_currency,
        } = page;
        let mut released = Released::default();
        let mut taken = MirrorTaken::default();
        match rows {
            RosterRows::Customers(rows) => {
                for row in rows {
                    taken.changed += usize::from(self.take_customer(&read, row, &mut released)?);
                }
            }
            RosterRows::Partners(rows) => {
                for row in rows {
                    taken.changed += usize::from(self.take_partner(&read, row)?);
                }
            }
            RosterRows::Rewards(rows) => {
                taken.changed = self.take_rewards(&read, rows, reward_currency)?;
            }
        }
        self.release(released, &mut taken)?;
        taken.ended = self.move_on(&read, next)?;
        Ok(taken)
    }

    /// Puts a read behind the page that was taken, unless somebody else did
    /// meanwhile. True at its end.
    fn move_on(&self, read: &MirrorRead, next: Option<String>) -> Result<bool, LedgerError> {
        let (sweeping, ended) = (next.is_none() && read.since.is_none(), next.is_none());
        let moved = self.run(
            "UPDATE mirror_reads SET after = ?5, sweeping = ?6
             WHERE destination = ?1 AND kind = ?2 AND began_at = ?3 AND after IS NOT DISTINCT FROM ?4
                   AND sweeping = 0",
            params![
                read.destination,
                read.list.word(),
                read.began_at.ms(),
                read.after,
                next,
                sweeping
            ],
        )?;
        if moved > 0 && ended && !sweeping {
            self.end_read(read)?;
        }
        Ok(ended && !sweeping)
    }

    fn end_read(&self, read: &MirrorRead) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE mirror_reads
             SET read_at = began_at, full_at = CASE WHEN since IS NULL THEN began_at ELSE full_at END,
                 began_at = NULL, since = NULL, after = NULL, sweeping = 0
             WHERE destination = ?1 AND kind = ?2 AND began_at = ?3",
            params![read.destination, read.list.word(), read.began_at.ms()],
        )
    }

    /// Writes some of what a complete list did not show down as gone.
    fn mirror_sweep(&self, read: &MirrorRead) -> Result<MirrorTaken, LedgerError> {
        let mut taken = MirrorTaken::default();
        let mut released = Released::default();
        taken.changed = match read.list {
            List::Customers => self.sweep_customers(read, SWEPT_AT_ONCE, &mut released)?,
            List::Rewards => self.sweep_rewards(read, SWEPT_AT_ONCE)?,
            List::Partners => self.sweep_partners(read)?,
        };
        self.release(released, &mut taken)?;
        taken.ended = read.list == List::Partners || taken.changed == 0;
        if taken.ended {
            self.end_read(read)?;
        }
        Ok(taken)
    }

    /// A pause that was asked for holds after a restart too. What was refused is
    /// begun afresh: the row at which the page was to begin may be gone.
    fn mirror_failed(&self, failure: &MirrorFailure) -> Result<(), LedgerError> {
        use crate::destination::Outcome;
        let read = &failure.read;
        match &failure.outcome {
            Outcome::Refused { .. } => self.queue(
                "UPDATE mirror_reads
                     SET began_at = NULL, since = NULL, after = NULL, sweeping = 0
                     WHERE destination = ?1 AND kind = ?2 AND began_at = ?3",
                params![read.destination, read.list.word(), read.began_at.ms()],
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn mirror_figures(&self, destination: &str) -> Result<MirrorFigures, LedgerError> {
        let mut figures = MirrorFigures::default();
        let mut reads = Vec::new();
        for list in List::ALL {
            let kept = self.kept_read(destination, list)?;
            figures.under_way |= kept.read.is_some();
            if list == List::Rewards {
                figures.rewards_at = kept.read_at;
            }
            // Partners are not read again while nobody misses one.
            if list != List::Partners || kept.read_at.is_none() {
                reads.push((kept.read_at, kept.full_at));
            }
        }
        let oldest = |times: Vec<Option<Time>>| -> Option<Time> {
            let all: Option<Vec<Time>> = times.into_iter().collect();
            all?.into_iter().min()
        };
        figures.read_at = oldest(reads.iter().map(|it| it.0).collect());
        figures.full_at = oldest(reads.iter().map(|it| it.1).collect());
        let without = self.one(
            "SELECT count(*) FROM rewards INDEXED BY rewards_without_currency
             WHERE destination = ?1 AND currency IS NULL",
            [destination],
            |row| row.get(0),
        )?;
        figures.without_currency = without.unwrap_or(0);
        Ok(figures)
    }

    fn kept_read(&self, destination: &str, list: List) -> Result<Kept, LedgerError> {
        let found = self.one(
            "SELECT kind, began_at, since, after, sweeping, emails, wanted, read_at, full_at
             FROM mirror_reads WHERE destination = ?1 AND kind = ?2",
            params![destination, list.word()],
            |row| {
                let time = |at| Ok::<_, LedgerError>(row.get::<_, Option<i64>>(at)?.map(Time));
                let (began_at, since) = (time(1)?, time(2)?);
                let (list, after): (List, Option<String>) = (from_word(row.get(0)?)?, row.get(3)?);
                Ok(Kept {
                    read: began_at.map(|began_at| MirrorRead {
                        destination: destination.to_owned(),
                        list,
                        began_at,
                        since,
                        after,
                    }),
                    sweeping: row.get(4)?,
                    emails: row.get(5)?,
                    wanted: row.get(6)?,
                    read_at: time(7)?,
                    full_at: time(8)?,
                })
            },
        )?;
        Ok(found.unwrap_or(Kept {
            read: None,
            sweeping: false,
            emails: false,
            wanted: false,
            read_at: None,
            full_at: None,
        }))
    }

    /// Whether any rule of a source of this destination finds customers by their
    /// address: only then are addresses kept.
    pub(super) fn keeps_emails(&self, destination: &str) -> bool {
        let sources = self.all_terms().values();
        sources
            .filter(|source| source.destination == destination)
            .any(|source| source.rules.iter().any(Rule::mirrors_email))
    }

    /// Whether a destination takes live money. A ledger without a source for it
    /// has nothing to resolve there either.
    pub(super) fn is_live(&self, destination: &str) -> bool {
        let mut sources = self.all_terms().values();
        sources.any(|source| source.destination == destination && source.live)
    }
}
