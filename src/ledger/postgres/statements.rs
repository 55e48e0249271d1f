//! Statements that one connection has prepared, by their text. Which type a parameter
//! has is what the values say, not what the server would guess: `coalesce(?1, 0)` would
//! be 32 bits wide for it, and of `?1 IS NULL` it knows nothing. Only of a parameter that
//! was never anything but [`Value::Null`] is the server's guess taken.

use std::collections::HashMap;

use tokio_postgres::Statement;
use tokio_postgres::types::Type;

use crate::ledger::sql::{Kind, Value};

/// After how many uses a statement is prepared anew, and how many times as many the next
/// time: a server plans it for the tables as they are then, and for one that was empty it
/// may choose an index that reads all of what came since.
const RENEWED_AFTER: u64 = 10;
const RENEWED_TIMES: u64 = 10;

/// Prepared statements kept per connection; there are hardly more in the source.
const KEPT_MOST: usize = 512;

/// What one connection has prepared.
#[derive(Default)]
pub(super) struct Statements {
    kept: HashMap<String, Kept>,
    uses: u64,
}

struct Kept {
    statement: Statement,
    kinds: Vec<Type>,
    used: u64,
    /// How often it was used since it was first prepared, and when it is prepared anew.
    times: u64,
    renewed_at: u64,
}

impl Statements {
    /// The statement of `sql`, where it was prepared for values of these types; one that
    /// could be of any fits each.
    pub(super) fn known(&mut self, sql: &str, types: &[Option<Type>]) -> Option<Statement> {
        self.uses += 1;
        let kept = self.kept.get_mut(sql)?;
        let fit =
            |(given, kind): (&Option<Type>, &Type)| given.as_ref().is_none_or(|it| it == kind);
        let fits = kept.kinds.len() == types.len() && types.iter().zip(&kept.kinds).all(fit);
        kept.times += 1;
        if !fits || kept.times >= kept.renewed_at {
            return None;
        }
        kept.used = self.uses;
        Some(kept.statement.clone())
    }

    /// The types to prepare `sql` with: of these values, or as known from others.
    pub(super) fn kinds(&self, sql: &str, types: &[Option<Type>]) -> Vec<Type> {
        let before = self.kept.get(sql).map(|kept| kept.kinds.as_slice());
        let known = |at: usize| before.and_then(|kinds| kinds.get(at)).cloned();
        let kinds = types.iter().enumerate().map(|(at, given)| {
            let kind = given.clone().or_else(|| known(at));
            kind.unwrap_or(Type::UNKNOWN)
        });
        kinds.collect()
    }

    /// Keeps a statement, in the place of the one used longest ago where there are
    /// too many.
    pub(super) fn keep(&mut self, sql: &str, statement: &Statement, kinds: Vec<Type>) {
        if self.kept.len() >= KEPT_MOST && !self.kept.contains_key(sql) {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(oldest) = oldest.map(|(text, _)| text.clone()) {
                self.kept.remove(&oldest);
            }
        }
        let (times, renewed_at) = match self.kept.get(sql) {
            Some(kept) if kept.times >= kept.renewed_at => {
                (kept.times, kept.renewed_at.saturating_mul(RENEWED_TIMES))
            }
            Some(kept) => (kept.times, kept.renewed_at),
            None => (0, RENEWED_AFTER),
        };
        let kept = Kept {
            statement: statement.clone(),
            kinds,
            used: self.uses,
            times,
            renewed_at,
        };
        self.kept.insert(sql.to_owned(), kept);
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// How many are kept at most.
    #[cfg(test)]
    pub(super) const MOST: usize = KEPT_MOST;
}

/// The type of a value, where it is of one.
pub(super) fn type_of(value: &Value<'_>) -> Option<Type> {
    match value {
        Value::Null => None,
        Value::Int(_) | Value::Absent(Kind::Int) => Some(Type::INT8),
        Value::Text(_) | Value::Absent(Kind::Text) => Some(Type::TEXT),
        Value::Blob(_) | Value::Absent(Kind::Blob) => Some(Type::BYTEA),
    }
}

/// The type of many values of one kind.
pub(super) fn type_of_many(kind: Kind) -> Type {
    match kind {
        Kind::Int => Type::INT8_ARRAY,
        Kind::Text => Type::TEXT_ARRAY,
        Kind::Blob => Type::BYTEA_ARRAY,
    }
}
