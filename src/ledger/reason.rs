//! Why a payment does not go on, in sentences for a person, and the state that each of
//! them stands for.
//!
//! They are asked for by [`super::book::stand`], which knows in which order; nothing here
//! plans a call.

use super::book::{Book, Directory, SourceTerms, Standing, State};
use crate::lookup::{self, CameTo, Finding};
use crate::plan::{Customer, Row};
use crate::position::{Position, Unfinished};
use crate::time::Time;

/// Held where another payment is the same money, until a person says otherwise.
pub(super) fn same_money(book: &Book, position: &Position) -> Option<(State, String)> {
    let other = book.same_money_as.as_ref()?;
    let accepted = book.ruling.accepts(&position.fingerprint());
    (!accepted).then(|| {
        let reason = format!("the same money as {other}; it must not be counted twice");
        (State::Held, reason)
    })
}

/// A reversal by itself whose payment is not known by the ids that it names.
pub(super) fn unresolved(book: &Book, matches: usize) -> (State, String) {
    match (matches, &book.asked) {
        (0, Some((_, asked))) if book.facts.is_empty() => (State::Waiting, asked.clone()),
        (0, Some((_, asked))) => (
            State::Waiting,
            format!("money went back, and it is not known of which payment; {asked}"),
        ),
        (0, None) => (
            State::Waiting,
            "money went back, and the payment that it names is not known here yet; \
             a cancelled authorization also sends such a reversal"
                .to_owned(),
        ),
        (many, _) => (
            State::Held,
            format!(
                "money went back, and {many} payments carry the id that it names; attach it to one"
            ),
        ),
    }
}

/// A payment of which no money came in, as far as anybody told.
pub(super) fn without_capture(book: &Book, position: &Position) -> (State, String) {
    let asked = book.asked.as_ref().map(|(_, asked)| asked.clone());
    if let Some(unsaid) = book.unpriced.first() {
        let asked = asked.map_or(String::new(), |asked| format!("; {asked}"));
        let (kind, id) = (&unsaid.link_kind, &unsaid.id);
        let wants = match &unsaid.taken_by {
            None => format!("it goes on once the {kind} {id} is linked with its amount"),
            Some(other) => format!(
                "the amount of the {kind} {id} was counted for {other}, and it is not counted twice"
            ),
        };
        let reason = format!("the provider says that it was paid and not how much; {wants}{asked}");
        return (State::Waiting, reason);
    }
    match position.unfinished {
        None if asked.is_some() => (State::Waiting, asked.unwrap_or_default()),
        Some(Unfinished::Failed) => (State::Ignored, "the payment failed".to_owned()),
        Some(Unfinished::Pending) => (
            State::Waiting,
            "authorised but not captured: no money has moved yet".to_owned(),
        ),
        None if position.newest_reversal.is_none() => (
            State::Waiting,
            "the provider named it; no money has been reported yet".to_owned(),
        ),
        None => (
            State::Waiting,
            "money went back, and the payment itself has not been reported yet".to_owned(),
        ),
    }
}

/// Paid before the source forwards.
pub(super) fn before_the_start(position: &Position, from: Time) -> String {
    match (position.reversed(), &position.capture) {
        (Some(reversed), Some(capture)) if reversed > 0 => format!(
            "paid before forward_from ({from}), and {} of it went back since: \
             if it was forwarded by another system, ask the destination for a clawback",
            capture.currency.show(reversed)
        ),
        _ => format!("paid before forward_from ({from}); recorded, not forwarded"),
    }
}

/// Why a first post waits for what was read back into a restored ledger, until a person
/// says otherwise: the ids by which two sources name one money may have been lost.
pub(super) fn perhaps_there<D: Directory>(
    book: &Book,
    standing: &Standing,
    customer: &Customer,
    directory: &mut D,
) -> Result<Option<String>, D::Error> {
    let position = &standing.position;
    let accepted = book.ruling.accepts(&position.fingerprint());
    if accepted || book.rows.iter().any(Row::freezes) {
        return Ok(None);
    }
    let Some(capture) = &position.capture else {
        return Ok(None);
    };
    let found = directory.read_back(customer, capture)?;
    Ok(found.map(|other| {
        format!(
            "it may be the same money as {other}, which the destination holds from before this \
             ledger was restored and which no provider has told this ledger of yet; it goes on \
             once that is told, or released by a person"
        )
    }))
}

/// A settled payment needs no reason, unless nothing was ever sent for it.
pub(super) fn settled(standing: &Standing, book: &Book) -> Option<String> {
    let nothing_sent = !book.rows.iter().any(Row::freezes);
    nothing_sent.then(|| match standing.position.net() {
        Some(0) => "all of it went back before it was forwarded".to_owned(),
        _ => "by the policy \"delete\" a payment with a refund is not forwarded".to_owned(),
    })
}

/// Why no rule named a customer, rule by rule.
pub(super) fn unattributed(finding: &Finding) -> String {
    if finding.tried.is_empty() {
        return "no customer key: the source has no lookup rules".to_owned();
    }
    let came = |to: CameTo| finding.tried.iter().any(|tried| tried.came_to == to);
    let rules: Vec<String> = finding.tried.iter().map(lookup::Tried::sentence).collect();
    let hint = match (came(CameTo::NotLinked), came(CameTo::NotMirrored)) {
        (true, _) => " It goes on by itself once the link arrives.",
        (false, true) => " It goes on by itself once the destination lists the customer.",
        (false, false) => "",
    };
    format!("no customer key. {}.{hint}", rules.join("; "))
}

/// What the provider is asked about the ids that no link names.
pub(super) fn asked<D: Directory>(
    source: &SourceTerms,
    finding: &Finding,
    directory: &mut D,
) -> Result<String, D::Error> {
    let mut told = String::new();
    for (rule, tried) in source.rules.iter().zip(&finding.tried) {
        let unlinked = tried
            .saw
            .as_deref()
            .filter(|_| tried.came_to == CameTo::NotLinked);
        if let Some((kind, id)) = unlinked.and_then(|saw| rule.asks_link(saw))
            && let Some(sentence) = directory.asked(kind, &id)?
        {
            told.push_str(&format!(" Meanwhile {sentence}."));
        }
    }
    Ok(told)
}
