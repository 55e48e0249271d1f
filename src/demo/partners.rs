//! The demo's partners: what they brought and what they get, beside what the
//! sandbox says.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::{Stage, amount};
use crate::circuit::Alone;
use crate::cli;
use crate::ledger::mirror::Extent;
use crate::mirror::mirror;
use crate::money::Minor;
use crate::report::{Basis, By, Group, Question};

/// The figures of a partner in a currency.
type Figures = BTreeMap<(String, String), Minor>;

impl Stage {
    /// Reads all there is of the sandbox's partners and rewards, and prints them
    /// beside the sandbox's own; true where they agree.
    pub(super) async fn partners(&self) -> anyhow::Result<bool> {
        let app = &self.service.app;
        for destination in app.destinations()? {
            let door = Alone::new(&app.ledger, &destination, &self.clock).await?;
            mirror(&app.ledger, &destination, (Extent::All, None), &door)
                .await
                .context("the sandbox's lists could not be read")?;
        }
        let question = Question {
            by: By::Partner,
            from: None,
            to: None,
            zone: None,
            basis: Basis::Own,
        };
        let report = app.ledger.report(question).await?;
        let (mut there, mut agree) = (self.rewards(), true);
        let head = [
            "partner",
            "name",
            "currency",
            "payments",
            "net",
            "commission",
            "rewards at the sandbox",
            "agree",
        ];
        let mut table = cli::table(&head);
        for line in &report.items {
            let Some(Group::Partner {
                partner_key: Some(partner),
                ..
            }) = &line.group
            else {
                continue;
            };
            let key = (partner.clone(), line.currency.to_string());
            let held = there.remove(&key).unwrap_or(0);
            let same = line.commission == Some(held);
            agree &= same;
            let show = |minor: Minor| amount(line.currency, minor);
            table.add_row([
                partner.clone(),
                line.partner_name.clone().unwrap_or_default(),
                line.currency.to_string(),
                line.payments.to_string(),
                show(line.net),
                line.commission.map_or_else(|| "-".to_owned(), show),
                show(held),
                if same { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        println!("{table}");
        // What no line shows has to come to nothing.
        Ok(agree && there.values().all(|held| *held == 0))
    }

    /// What the sandbox's own rewards come to.
    fn rewards(&self) -> Figures {
        let mut sums = Figures::new();
        for reward in self.sandbox.rewards() {
            if !reward.archived {
                *sums
                    .entry((reward.partner_key, reward.currency))
                    .or_default() += reward.amount;
            }
        }
        sums
    }
}
