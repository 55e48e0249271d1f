//! Tables and stories as text.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::{print, width};
use crate::ledger::rows::{Changes, Sums};
use crate::ledger::story::{PaymentView, Story};
use crate::money::{Currency, Minor};
use crate::ops::{LinkDryRun, Tally};

/// One line under the head and nothing else.
const HEAD_LINE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table with a head line. On a terminal its columns fit; elsewhere every row
/// is one line, so that it can be cut and searched.
pub(crate) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(HEAD_LINE);
    if let Some(width) = width() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width);
    }
    table.set_header(head.to_vec());
    table
}

fn money(currency: Option<Currency>, minor: Option<Minor>) -> String {
    match (currency, minor) {
        (Some(currency), Some(minor)) => currency.show(minor),
        _ => "-".to_owned(),
    }
}

/// A list of payments.
pub(super) fn payments(items: &[PaymentView]) -> anyhow::Result<()> {
    let head = [
        "source",
        "payment",
        "customer",
        "net",
        "forwarded",
        "state",
        "moved at",
        "reason",
    ];
    let mut table = table(&head);
    for item in items {
        table.add_row([
            item.source.clone(),
            item.payment_id.clone(),
            item.customer_key.clone().unwrap_or_else(|| "-".to_owned()),
            money(item.currency, item.net),
            money(item.currency, Some(item.forwarded)),
            item.state.to_owned(),
            item.occurred_at.clone(),
            item.reason.clone().unwrap_or_default(),
        ]);
    }
    for column in [3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print(&table.to_string())
}

/// One payment's story, as a partner manager reads it.
pub(super) fn story(story: &Story) -> anyhow::Result<()> {
    print(&story.summary)?;
    if !story.lookup.is_empty() {
        print("\nWhose it is:")?;
        for tried in &story.lookup {
            print(&format!("  {}", tried.sentence()))?;
        }
        for link in &story.links {
            print(&format!(
                "  link: {} {} -> {} (said by {} at {})",
                link.kind,
                link.external_id,
                link.customer_key.as_deref().unwrap_or("nobody"),
                link.said_by,
                link.said_at
            ))?;
        }
    }
    print("\nWhat happened:")?;
    for event in &story.events {
        print(&format!("  {}  {}", event.at, event.text))?;
        if let Some(position) = &event.position {
            print(&format!(
                "  {:width$}  -> {position}",
                "",
                width = event.at.len()
            ))?;
        }
    }
    if story.transactions.is_empty() {
        return Ok(());
    }
    print("\nWhat the destination holds, as far as is known:")?;
    for transaction in &story.transactions {
        let row = &transaction.row;
        let note = row
            .note
            .as_deref()
            .map_or(String::new(), |note| format!(" ({note})"));
        print(&format!(
            "  {}  {} for {}: {}{note}",
            transaction.key,
            row.currency.show(row.amount),
            crate::lookup::mask_email(&row.customer.value),
            row.state.words(),
        ))?;
    }
    Ok(())
}

/// What a decision about payments came to.
pub(super) fn tally(tally: &Tally, dry_run: bool) -> anyhow::Result<()> {
    for line in &tally.lines {
        let what = match &line.refused {
            Some(why) => format!("not done: {why}"),
            None => format!("{} -> {}", line.before.word(), line.after.word()),
        };
        print(&format!("{} {}: {what}", line.source, line.payment_id))?;
    }
    let would = if dry_run { "would be " } else { "" };
    super::say(&format!(
        "{} {would}done, {} not",
        tally.done, tally.refused
    ));
    Ok(())
}

/// What links would do.
pub(super) fn what_if(tried: &LinkDryRun) -> anyhow::Result<()> {
    for link in &tried.refused {
        super::say(&format!(
            "{} {} would be refused: {}",
            link.kind, link.external_id, link.why
        ));
    }
    if !tried.sums.is_empty() {
        let mut table = table(&["now", "then", "customer", "payments", "net"]);
        for sum in &tried.sums {
            table.add_row(vec![
                sum.before.to_owned(),
                sum.after.to_owned(),
                sum.customer_key.clone().unwrap_or_else(|| "-".to_owned()),
                sum.payments.to_string(),
                money(sum.currency, sum.net),
            ]);
        }
        for column in [3, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        print(&table.to_string())?;
    }
    let more = match tried.not_looked_at {
        0 => String::new(),
        more => format!(", and about {more} more as their turn comes"),
    };
    super::say(&format!(
        "nothing was written; {} links would be new, {} payments would be looked at again{more}",
        tried.changed, tried.payments
    ));
    Ok(())
}

/// How an import changed the money: by state and currency, and where asked for
/// also by customer.
pub(super) fn changes(changes: &Changes, by_customer: bool) -> anyhow::Result<()> {
    let mut sums: BTreeMap<_, Sums> = BTreeMap::new();
    for (at, change) in changes.iter() {
        let customer = at.customer.as_deref().filter(|_| by_customer);
        let slot = sums.entry((at.state, customer, at.currency)).or_default();
        slot.payments += change.payments;
        slot.gross += change.gross;
        slot.reversed += change.reversed;
    }
    sums.retain(|_, sums| !sums.is_zero());
    if sums.is_empty() {
        return Ok(());
    }
    let mut head = vec!["state", "payments", "gross", "reversed", "net"];
    if by_customer {
        head.insert(1, "customer");
    }
    let mut table = table(&head);
    for ((state, customer, currency), sums) in sums {
        let mut row = vec![state.word().to_owned()];
        if by_customer {
            row.push(customer.unwrap_or("-").to_owned());
        }
        row.push(sums.payments.to_string());
        let amounts = [sums.gross, sums.reversed, sums.gross - sums.reversed];
        row.extend(amounts.map(|minor| money(currency, Some(minor))));
        table.add_row(row);
    }
    for column in head.len() - 4..head.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print(&table.to_string())?;
    if changes.cut && by_customer {
        super::say("there are more customers than are told one by one; \"-\" holds the others");
    }
    Ok(())
}
