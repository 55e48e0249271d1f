//! What links would do, tried in a savepoint that is taken back: the same statements
//! as the real thing, so that the two cannot come apart. Nothing of it is kept.

use std::collections::BTreeSet;

use super::tx::Tx;
use super::{LedgerError, Store};
use crate::ledger::what_if::{Moved, NotLinked, WhatIf};
use crate::ledger::{NewLink, Word};

impl Store {
    /// As [`crate::ledger::Ledger::link_dry_run`].
    pub(in crate::ledger) async fn link_dry_run(
        &self,
        links: Vec<NewLink>,
        word: Word,
    ) -> Result<WhatIf, LedgerError> {
        self.write(move |tx| tx.link_dry_run(&links, &word)).await
    }
}

impl Tx<'_> {
    fn link_dry_run(&self, links: &[NewLink], word: &Word) -> Result<WhatIf, LedgerError> {
        let mut what_if = WhatIf::default();
        let mut touched = BTreeSet::new();
        self.save("what_if")?;
        for link in links {
            match self.link(link, word) {
                Ok((linked, payments)) => {
                    what_if.changed += usize::from(linked.changed);
                    what_if.not_looked_at += linked.marked;
                    touched.extend(payments);
                }
                Err(LedgerError::Refused(why) | LedgerError::NotFound(why)) => {
                    what_if.refused.push(NotLinked {
                        source: link.source.clone(),
                        kind: link.kind.clone(),
                        external_id: link.external_id.clone(),
                        why,
                    });
                }
                Err(error) => return Err(error),
            }
        }
        let views = |tx: &Tx<'_>| -> Result<Vec<_>, LedgerError> {
            touched.iter().map(|payment| tx.view(*payment)).collect()
        };
        let after = views(self)?;
        self.go_back("what_if")?;
        self.let_go("what_if")?;
        let before = views(self)?;
        for (before, after) in before.into_iter().zip(after) {
            what_if.add(Moved::of(before, after));
        }
        Ok(what_if)
    }
}
