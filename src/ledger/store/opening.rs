//! What opening writes, in one transaction: a row for every source, the zone of the
//! days, sums that an older ledger does not have yet, and who serves. The store's
//! tables are there already.

use super::tx::Tx;
use crate::day::Zone;
use crate::ledger::LedgerError;
use crate::ledger::sql::{params, unexpected};
use crate::time::Time;

/// The zone of a ledger's days, by name.
const REPORT_ZONE: &str = "report_zone";

/// Stands once the payments of an older ledger were booked.
const DAYS_FILLED: &str = "days_filled";

/// When somebody last began to serve, in milliseconds.
pub(super) const SERVED_AT: &str = "served_at";

/// Sets a value that is not money's.
pub(super) const SET_META: &str = "INSERT INTO meta (name, value) VALUES (?1, ?2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

const NAME_SOURCE: &str = "INSERT INTO sources (name, provider, first_seen)
    VALUES (?1, ?2, coalesce(CAST(?3 AS BIGINT), 0)) ON CONFLICT (name) DO NOTHING";

/// What `meta` keeps under a name.
pub(super) const META: &str = "SELECT value FROM meta WHERE name = ?1";

impl Tx<'_> {
    /// Makes the ledger ready for this configuration, or refuses it.
    pub(super) fn make_ready(&self, serving: bool) -> Result<(), LedgerError> {
        self.name_sources()?;
        self.settle_zone(self.zone)?;
        self.fill_days_once()?;
        if serving {
            // Claims of others who serve run out by themselves.
            if !self.is_shared() {
                self.free_claims()?;
            }
            self.set_meta(SERVED_AT, &self.now.ms().to_string())?;
        }
        Ok(())
    }

    /// A value that is not money's.
    pub(super) fn meta(&self, name: &str) -> Result<Option<String>, LedgerError> {
        self.one(META, [name], |row| row.get(0))
    }

    pub(super) fn set_meta(&self, name: &str, value: &str) -> Result<(), LedgerError> {
        self.queue(SET_META, [name, value])
    }

    /// A moment that is kept like this.
    pub(super) fn meta_time(&self, name: &str) -> Result<Option<Time>, LedgerError> {
        let text = self.meta(name)?;
        let ms = text.map(|text| text.parse::<i64>()).transpose();
        let ms = ms.map_err(|_| unexpected("a moment that is none"))?;
        Ok(ms.map(Time))
    }

    /// Gives every configured source a row, and refuses a configuration from which
    /// a source with payments has vanished: its money could come back under
    /// another name and be paid twice.
    fn name_sources(&self) -> Result<(), LedgerError> {
        for source in self.all_terms().values() {
            self.queue(
                NAME_SOURCE,
                params![source.name, source.provider, self.now.ms()],
            )?;
            let provider: Option<String> = self.one(
                "SELECT provider FROM sources WHERE name = ?1",
                [&source.name],
                |row| row.get(0),
            )?;
            if let Some(provider) = provider.filter(|known| *known != source.provider) {
                return Err(LedgerError::Unusable(format!(
                    "sources.{}.provider: the ledger knows this source as {provider}; \
                     give a source of another provider another name",
                    source.name
                )));
            }
        }
        let names: Vec<String> = self.all(
            "SELECT name FROM sources WHERE EXISTS
             (SELECT 1 FROM payments WHERE payments.source = sources.source)",
            [],
            |row| row.get(0),
        )?;
        for name in names {
            // Without a destination for it the API's payments stay as they are.
            if !self.all_terms().contains_key(&name) && name != crate::config::RESERVED_NAME {
                return Err(LedgerError::Unusable(format!(
                    "sources.{name}: the ledger has payments of this source and the configuration \
                     no longer names it; keep it and write retired = true"
                )));
            }
        }
        Ok(())
    }

    /// After a crash nobody holds a claim: what was under way is read back at once.
    fn free_claims(&self) -> Result<(), LedgerError> {
        self.queue(
            "UPDATE payments SET claim = NULL, due_at = ?1 WHERE claim IS NOT NULL",
            [self.now.ms()],
        )
    }

    /// Gives a ledger the zone of its days for good, or refuses another one: days
    /// that were added up in one zone cannot be told apart in another.
    fn settle_zone(&self, zone: &Zone) -> Result<(), LedgerError> {
        self.queue(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
            params![REPORT_ZONE, zone.name()],
        )?;
        let settled = self.meta(REPORT_ZONE)?.unwrap_or_default();
        match settled == zone.name() {
            true => Ok(()),
            false => Err(LedgerError::Unusable(format!(
                "ledger.report_zone: this ledger counts its days in {settled}, which stays as it \
                 is; write report_zone = \"{settled}\" and ask for days in {} with report --zone",
                zone.name()
            ))),
        }
    }

    /// Fills the roll-ups of a ledger that has none yet.
    fn fill_days_once(&self) -> Result<(), LedgerError> {
        if self.meta(DAYS_FILLED)?.is_some() {
            return Ok(());
        }
        let any: Option<i64> = self.one("SELECT 1 FROM payments LIMIT 1", [], |row| row.get(0))?;
        if any.is_some() {
            tracing::info!(
                "the sums that reports read are made from all payments; this takes a while"
            );
        }
        self.fill_days()?;
        self.set_meta(DAYS_FILLED, &self.now.ms().to_string())
    }

    /// Since when a source's payments are what `word` says; `None` from the start.
    /// A change is written down only where `serving`: a look with another setting
    /// must not move money.
    pub(super) fn switched_at(
        &self,
        (source, provider): (&str, &str),
        word: &str,
        serving: bool,
    ) -> Result<Option<Time>, LedgerError> {
        let now = serving.then_some(self.now);
        self.queue(NAME_SOURCE, params![source, provider, now.map(Time::ms)])?;
        let known: Option<(String, Option<i64>)> = self.one(
            "SELECT switch_word, switch_since FROM sources WHERE name = ?1",
            [source],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let (known, since) = known.ok_or_else(|| unexpected("no such source"))?;
        let Some(now) = now.filter(|_| known != word) else {
            return Ok(since.map(Time));
        };
        let payment: Option<i64> = self.one(
            "SELECT payment FROM payments JOIN sources USING (source) WHERE name = ?1 LIMIT 1",
            [source],
            |row| row.get(0),
        )?;
        // Without payments there is nothing that the other word could have counted, and
        // where nobody served yet there was no other word: those came by files.
        let since = payment.filter(|_| !known.is_empty()).map(|_| now.ms());
        self.queue(
            "UPDATE sources SET switch_word = ?2, switch_since = ?3 WHERE name = ?1",
            params![source, word, since],
        )?;
        Ok(since.map(Time))
    }
}
