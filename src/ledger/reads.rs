//! The verbs of [`Ledger`] that only read: lists, files, stories, figures, and what a
//! link would do. Each reads one moment of the ledger, unless it says otherwise.

use super::export::{ExportColumns, ExportPage, Exported};
use super::imports::Arrived;
use super::story::Story;
use super::unattributed::Groups;
use super::what_if::WhatIf;
use super::{
    Cursor, Filter, Ledger, LedgerError, LinkPlace, LinkView, NewLink, Overview, Page, Summary,
    Trends, Word,
};
use crate::day::{Day, Zone};
use crate::report::{By, Lines, Most, Question, Report};

impl Ledger {
    /// The links of a source by their ids, from behind the link `after` on; and the
    /// one to go on with.
    ///
    /// # Errors
    /// As the store's.
    pub async fn links_of(
        &self,
        source: &str,
        after: Option<LinkPlace>,
        limit: usize,
    ) -> Result<(Vec<LinkView>, Option<LinkPlace>), LedgerError> {
        self.store().links_of(source, after, limit).await
    }

    /// What links would do, one after the other; nothing of it is kept. It keeps
    /// intake waiting as long as the links themselves would.
    ///
    /// # Errors
    /// As the store's; a link that would be refused is told and stops no other.
    pub async fn link_dry_run(
        &self,
        links: Vec<NewLink>,
        word: Word,
    ) -> Result<WhatIf, LedgerError> {
        self.store().link_dry_run(links, word).await
    }

    /// A page of payments, by when the money moved, newest first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn payments(&self, filter: Filter, limit: usize) -> Result<Page, LedgerError> {
        self.store().payments(filter, limit).await
    }

    /// The payments without a customer by what they wait for, of the source and times
    /// of `filter`, from its cursor on: the newest of them, so many as can be looked
    /// at.
    ///
    /// # Errors
    /// As the store's.
    pub async fn unattributed(&self, filter: Filter) -> Result<Groups, LedgerError> {
        self.store().unattributed(filter).await
    }

    /// Files that arrived, the newest first, from before the number `before` on; and
    /// the number to go on with.
    ///
    /// # Errors
    /// As the store's.
    pub async fn imports(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<Arrived>, Option<i64>), LedgerError> {
        self.store().imports(before, limit).await
    }

    /// A file by its number.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`].
    pub async fn import(&self, import: i64) -> Result<Arrived, LedgerError> {
        self.store().import(import).await
    }

    /// The columns that an export of these payments needs.
    ///
    /// # Errors
    /// As the store's.
    pub async fn export_columns(&self, filter: Filter) -> Result<ExportColumns, LedgerError> {
        self.store().export_columns(filter).await
    }

    /// A page of payments with all that was stated about them, oldest recorded
    /// first, after the row `after`.
    ///
    /// # Errors
    /// As the store's.
    pub async fn export(&self, filter: Filter, after: i64) -> Result<ExportPage, LedgerError> {
        self.store().export(filter, after).await
    }

    /// The columns that a page of a list needs where it is exported, and where the
    /// next page begins.
    ///
    /// # Errors
    /// As the store's.
    pub async fn columns_shown(
        &self,
        filter: Filter,
    ) -> Result<(ExportColumns, Option<Cursor>), LedgerError> {
        self.store().columns_shown(filter).await
    }

    /// A page of a list, in its order, with all that was stated about each payment,
    /// and where the next page begins. One whose money turns out to have moved at
    /// another time meanwhile may be missed, so a copy of the books is made by
    /// [`Ledger::export`].
    ///
    /// # Errors
    /// As the store's.
    pub async fn export_shown(
        &self,
        filter: Filter,
    ) -> Result<(Vec<Exported>, Option<Cursor>), LedgerError> {
        self.store().export_shown(filter).await
    }

    /// The whole story of one payment, by its id, one of its aliases or the id
    /// of a delivery.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`].
    pub async fn story(&self, source: &str, id: &str) -> Result<Story, LedgerError> {
        self.store().story(source, id).await
    }

    /// The bytes of a delivery as they came; `None` where they are kept no more.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`].
    pub async fn body(&self, source: &str, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.store().body(source, id).await
    }

    /// Figures for metrics and summaries.
    ///
    /// # Errors
    /// As the store's.
    pub async fn summary(&self) -> Result<Summary, LedgerError> {
        self.store().summary().await
    }

    /// Where the ledger's days begin and end.
    #[must_use]
    pub fn report_zone(&self) -> &Zone {
        self.store().report_zone()
    }

    /// What the money comes to, by partner, customer, source, day or month. In the
    /// ledger's own zone it is read from roll-ups; in another one from all
    /// payments, which takes longer and is no single moment of the ledger.
    ///
    /// # Errors
    /// As the store's.
    pub async fn report(&self, question: Question) -> Result<Report, LedgerError> {
        let by = vec![question.by];
        let mut reports = self.reports(question, by, Most::All.into()).await?;
        let report = reports.pop();
        report.ok_or_else(|| LedgerError::Unusable("a question without an answer".to_owned()))
    }

    /// The same for each of `bys` in turn, with those `lines` only that are asked for, and
    /// in the ledger's own zone of one moment. Only lines that are told have names looked
    /// up.
    ///
    /// # Errors
    /// As the store's.
    pub async fn reports(
        &self,
        question: Question,
        bys: Vec<By>,
        lines: Lines,
    ) -> Result<Vec<Report>, LedgerError> {
        self.store().reports(question, bys, lines).await
    }

    /// Makes segments of a few days that are over and have none, from which reports by
    /// customer are read at once. True where it is worth going on: not where there are
    /// no such days, or where somebody is at work on them.
    ///
    /// # Errors
    /// As the store's.
    pub async fn condense(&self) -> Result<bool, LedgerError> {
        self.store().condense().await
    }

    /// How the money of some customers or partners went, day by day in the ledger's
    /// own zone, from the first day to the last. Nothing for other groupings.
    ///
    /// # Errors
    /// As the store's.
    pub async fn trends(
        &self,
        by: By,
        days: (Day, Day),
        keys: Vec<String>,
    ) -> Result<Trends, LedgerError> {
        self.store().trends(by, days, keys).await
    }

    /// The figures of the overview, which cost the same at any number of payments.
    ///
    /// # Errors
    /// As the store's.
    pub async fn overview(&self) -> Result<Overview, LedgerError> {
        self.store().overview().await
    }
}
