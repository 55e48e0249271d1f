//! Lists of payments: which are meant, in which order, and where a page begins.
//! How they are found is the store's.

use std::fmt;
use std::str::FromStr;

use super::book::State;
use super::story::PaymentView;
use crate::time::Time;

/// Which payments are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// Of this source.
    pub source: Option<String>,
    /// Of every source of this provider.
    pub provider: Option<String>,
    /// With this payment id.
    pub payment_id: Option<String>,
    /// For this customer key.
    pub customer: Option<String>,
    /// With an id or a customer key that begins like this.
    pub search: Option<Search>,
    /// Money moved at or after.
    pub since: Option<Time>,
    /// Money moved before.
    pub until: Option<Time>,
    /// Where the page begins.
    pub cursor: Option<Cursor>,
}

/// What payments are searched for by: the beginning of a payment's id, of a customer
/// key, of a delivery's id, of the key of a transaction or of any other id that the
/// provider said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The beginning, as it is written: small and capital letters differ.
    pub text: String,
    /// Also by the beginning of an email address. Who may not see addresses in full
    /// could spell them out by it, so that for them only whole ones are found.
    pub plain: bool,
}

/// A payment's place in the order of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When its money moved.
    pub moved_at: Time,
    /// The ledger's own number, for those of one moment.
    pub payment: i64,
}

/// Where a page begins: behind a payment, or before it. Payments that come
/// meanwhile change nothing about what lies on the other side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    place: Place,
    /// The page before that payment, and not the one behind it.
    newer: bool,
}

impl Cursor {
    /// The page that follows this payment.
    #[must_use]
    pub fn after(place: Place) -> Cursor {
        Cursor {
            place,
            newer: false,
        }
    }

    /// The page that ends right before this payment.
    #[must_use]
    pub fn before(place: Place) -> Cursor {
        Cursor { place, newer: true }
    }

    /// The payment beside which the page lies.
    #[must_use]
    pub fn place(self) -> Place {
        self.place
    }

    /// True for the page of newer ones.
    #[must_use]
    pub fn is_newer(self) -> bool {
        self.newer
    }
}

/// What a cursor to the page before begins with.
const NEWER: char = 'b';

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.newer {
            write!(f, "{NEWER}")?;
        }
        write!(f, "{}.{}", self.place.moved_at.ms(), self.place.payment)
    }
}

/// A text that is no cursor.
#[derive(Debug, thiserror::Error)]
#[error("not one of ours")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Cursor, NoCursor> {
        let place = text.strip_prefix(NEWER);
        let (ms, payment) = place.unwrap_or(text).split_once('.').ok_or(NoCursor)?;
        let number = |text: &str| text.parse::<i64>().map_err(|_| NoCursor);
        Ok(Cursor {
            place: Place {
                moved_at: Time(number(ms)?),
                payment: number(payment)?,
            },
            newer: place.is_some(),
        })
    }
}

/// A page of payments.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// By when the money moved, newest first.
    pub items: Vec<PaymentView>,
    /// Where the next page starts; `None` at the end.
    pub next_cursor: Option<Cursor>,
    /// The page of newer ones; `None` on the first.
    pub previous_cursor: Option<Cursor>,
    /// More begin like this than a search looks at, so that some may be missing.
    pub cut: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_as_it_was_written() {
        let place = Place {
            moved_at: Time(-1),
            payment: 7,
        };
        for cursor in [Cursor::after(place), Cursor::before(place)] {
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }
        for text in ["", "x", "12", "b", "1.x", "1.2.3", "bb1.2"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
