//! The names of our own columns, and the words that stand in them.
//!
//! The exporter writes what is listed here and nothing else. What a row states
//! is not decided here.

use crate::import::header::Header;
use crate::import::row::Refused;
use crate::money::Currency;
use crate::movement::{Class, rank};

/// The names of all columns, for the README, the exporter and mappings.
pub const NAMES: [&str; 23] = [
    "id",
    "payment_id",
    "kind",
    "reversal_id",
    "status",
    "basis",
    "live",
    "account",
    "customer_key",
    "amount",
    "amount_decimal",
    "currency",
    "occurred_at",
    "product_key",
    "category_key",
    "email",
    "rank",
    "version",
    "authority",
    "partial_capture",
    "reference_kind",
    "reference_id",
    "clue_version",
];

/// What the names of further columns begin with; the rest is a name of its own.
pub const PREFIXES: [&str; 4] = [CLUE, LINK, ALIAS, MONEY_ALIAS];
const CLUE: &str = "clue.";
const LINK: &str = "link.";
const ALIAS: &str = "alias.";
const MONEY_ALIAS: &str = "money_alias.";

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Money taken.
    Payment,
    /// Money given back.
    Refund,
    /// Money that a dispute took or gave back.
    Dispute,
    /// The whole payment undone.
    Void,
    /// A warning that money will go back.
    Alert,
    /// A customer made known, and no payment.
    Link,
    /// A promise of money: nothing moves.
    Authorisation,
}

const KINDS: [(&str, Kind); 18] = [
    ("payment", Kind::Payment),
    ("charge", Kind::Payment),
    ("purchase", Kind::Payment),
    ("sale", Kind::Payment),
    ("capture", Kind::Payment),
    ("refund", Kind::Refund),
    ("credit", Kind::Refund),
    ("dispute", Kind::Dispute),
    ("chargeback", Kind::Dispute),
    ("void", Kind::Void),
    ("voided", Kind::Void),
    ("alert", Kind::Alert),
    ("link", Kind::Link),
    ("links", Kind::Link),
    ("authorization", Kind::Authorisation),
    ("authorisation", Kind::Authorisation),
    ("verification", Kind::Authorisation),
    ("verify", Kind::Authorisation),
];

/// What the words of `status` mean, by kind.
const STATUSES: [(Kind, &[&str], Class, u8); 10] = [
    (
        Kind::Payment,
        &[
            "",
            "captured",
            "succeeded",
            "success",
            "successful",
            "paid",
            "settled",
        ],
        Class::Capture,
        rank::CAPTURED,
    ),
    (
        Kind::Payment,
        &["pending", "authorized", "authorised", "processing"],
        Class::Capture,
        rank::PENDING,
    ),
    (
        Kind::Payment,
        &["failed", "failure", "declined", "error"],
        Class::Capture,
        rank::FAILED,
    ),
    (
        Kind::Refund,
        &[
            "",
            "live",
            "succeeded",
            "success",
            "successful",
            "paid",
            "settled",
        ],
        Class::Refund,
        rank::LIVE,
    ),
    (
        Kind::Refund,
        &["announced", "pending", "processing"],
        Class::Refund,
        rank::ANNOUNCED,
    ),
    (
        Kind::Refund,
        &[
            "undone",
            "failed",
            "failure",
            "cancelled",
            "canceled",
            "voided",
            "declined",
        ],
        Class::Refund,
        rank::UNDONE,
    ),
    (
        Kind::Dispute,
        &["", "taken", "lost", "opened"],
        Class::DisputeTaken,
        rank::INFERRED,
    ),
    (
        Kind::Dispute,
        &["returned", "won"],
        Class::DisputeReturned,
        rank::INFERRED,
    ),
    (
        Kind::Void,
        &["", "live", "void", "voided"],
        Class::Void,
        rank::LIVE,
    ),
    (
        Kind::Alert,
        &["", "live", "alert", "alerted"],
        Class::Alert,
        rank::LIVE,
    ),
];

/// What a word of `kind` means; nothing means a payment.
///
/// # Errors
/// Where it means nothing.
pub fn kind(word: Option<&str>) -> Result<Kind, &'static str> {
    let Some(word) = word else {
        return Ok(Kind::Payment);
    };
    let found = KINDS
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name));
    let kind = found.map(|(_, kind)| *kind);
    kind.ok_or("is none of payment, refund, dispute, void, alert and link")
}

/// What a word of `status` means in a row of this kind.
///
/// # Errors
/// Where it means nothing there.
pub fn standing(kind: Kind, word: &str) -> Result<(Class, u8), &'static str> {
    let means = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    let mut statuses = STATUSES.iter();
    let found = statuses.find(|(of, words, ..)| *of == kind && means(words));
    let found = found.map(|(_, _, class, rank)| (*class, *rank));
    found.ok_or("is no status of a row of this kind")
}

/// Which column holds what.
pub struct Columns {
    pub(super) id: Option<usize>,
    pub(super) payment_id: Option<usize>,
    pub(super) kind: Option<usize>,
    pub(super) reversal_id: Option<usize>,
    pub(super) status: Option<usize>,
    pub(super) basis: Option<usize>,
    pub(super) live: Option<usize>,
    pub(super) account: Option<usize>,
    pub(super) customer_key: Option<usize>,
    pub(super) amount: Option<usize>,
    pub(super) amount_decimal: Option<usize>,
    pub(super) currency: Option<usize>,
    pub(super) occurred_at: Option<usize>,
    pub(super) product_key: Option<usize>,
    pub(super) category_key: Option<usize>,
    pub(super) email: Option<usize>,
    pub(super) rank: Option<usize>,
    pub(super) version: Option<usize>,
    pub(super) authority: Option<usize>,
    pub(super) partial_capture: Option<usize>,
    pub(super) reference_kind: Option<usize>,
    pub(super) reference_id: Option<usize>,
    pub(super) clue_version: Option<usize>,
    pub(super) clues: Vec<(usize, String)>,
    pub(super) links: Vec<(usize, String)>,
    pub(super) aliases: Vec<(usize, String)>,
    pub(super) money_aliases: Vec<(usize, String)>,
}

impl Columns {
    /// The columns of `header`.
    ///
    /// # Errors
    /// Where two could be one.
    pub fn of(header: &Header, mapped: bool) -> Result<Columns, Refused> {
        // Unless a person said so, a column `id` may be anything.
        let id = header.find(&["id"])?.filter(|_| mapped);
        Ok(Columns {
            id,
            payment_id: header.find(&["paymentid"])?,
            kind: header.find(&["kind"])?,
            reversal_id: header.find(&["reversalid", "refundid", "factid"])?,
            status: header.find(&["status"])?,
            basis: header.find(&["basis"])?,
            live: header.find(&["live"])?,
            account: header.find(&["account"])?,
            customer_key: header.find(&["customerkey"])?,
            amount: header.find(&["amount"])?,
            amount_decimal: header.find(&["amountdecimal"])?,
            currency: header.find(&["currency"])?,
            occurred_at: header.find(&["occurredat"])?,
            product_key: header.find(&["productkey"])?,
            category_key: header.find(&["categorykey"])?,
            email: header.find(&["email"])?,
            rank: header.find(&["rank"])?,
            version: header.find(&["version"])?,
            authority: header.find(&["authority"])?,
            partial_capture: header.find(&["partialcapture"])?,
            reference_kind: header.find(&["referencekind"])?,
            reference_id: header.find(&["referenceid"])?,
            clue_version: header.find(&["clueversion"])?,
            clues: header.prefixed(CLUE)?,
            links: header.prefixed(LINK)?,
            aliases: header.prefixed(ALIAS)?,
            money_aliases: header.prefixed(MONEY_ALIAS)?,
        })
    }

    /// What a header lacks, all at once.
    ///
    /// # Errors
    /// Names it.
    pub fn complete(&self, header: &Header, currency: Option<Currency>) -> Result<(), Refused> {
        let mut missing = Vec::new();
        if self.payment_id.or(self.id).is_none() {
            missing.push("payment_id");
        }
        if self.amount.or(self.amount_decimal).is_none() {
            missing.push("amount (minor units) or amount_decimal");
        }
        if self.currency.is_none() && currency.is_none() {
            missing.push("currency (or set it for the source's imports)");
        }
        if self.occurred_at.is_none() {
            missing.push("occurred_at");
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(header.refused(&format!("there is no column {}", missing.join(", ")))),
        }
    }
}
