//! Which payments count in reports, and as what.
//!
//! It is pure, like the fold, and adds nothing up.

use super::book::{Book, SourceTerms, State};
use super::reason::same_money;
use crate::plan::Row;
use crate::position::Position;

/// How a payment counts in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revenue {
    /// Recorded and not forwarded, on purpose: from before `forward_from`, or
    /// skipped by a person.
    pub ignored: bool,
}

/// Whether a payment counts in reports: money that was captured, of the mode that
/// its destination takes, and not the same money as another payment's. Who it is
/// for and whether it was forwarded decide nothing here.
#[must_use]
pub fn revenue(
    book: &Book,
    source: &SourceTerms,
    position: &Position,
    state: State,
) -> Option<Revenue> {
    let captured = position.gross().is_some_and(|gross| gross > 0);
    let forwarded = book.rows.iter().any(Row::freezes);
    let other_mode = !forwarded && book.live.is_some_and(|live| live != source.live);
    let counts = captured
        && book.reference_matches.is_none()
        && !other_mode
        && same_money(book, position).is_none();
    counts.then_some(Revenue {
        ignored: state == State::Ignored,
    })
}
