//! The first line of a file: which column holds what, and whose file it is.
//!
//! Names are compared without case, spaces, underscores and hyphens, and never
//! by position, because exports let people choose their columns. A header that
//! cannot be right refuses the whole file, before its first row.

use std::collections::BTreeMap;

use super::cells::{Cells, Encoding};
use super::lines::{Lines, Next};
use super::row::{Format, Refused};

/// How many columns a refusal names.
const SHOWN_MOST: usize = 40;

/// How many characters of a column's name a refusal shows.
const NAME_SHOWN_CHARS: usize = 60;

/// The delimiters that are looked for, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// One column.
struct Column {
    /// As the file names it.
    written: String,
    /// As it was mapped, else as written.
    meaning: String,
    /// `meaning` as names are compared; empty where the column is left out.
    plain: String,
}

/// The columns of a file.
pub struct Header {
    columns: Vec<Column>,
    line: u64,
}

/// `name` as names are compared.
#[must_use]
pub fn plain(name: &str) -> String {
    let kept = name
        .chars()
        .filter(|c| !matches!(c, ' ' | '_' | '-' | '\u{a0}'));
    kept.flat_map(char::to_lowercase).collect()
}

/// The delimiter of a header line: the one that stands in it most often outside
/// of quotes.
#[must_use]
pub fn delimiter(ahead: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in ahead {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            byte => {
                for (count, delimiter) in counts.iter_mut().zip(DELIMITERS) {
                    *count += usize::from(*byte == delimiter);
                }
            }
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let found = counts
        .iter()
        .zip(DELIMITERS)
        .find(|(count, _)| **count == most);
    found.map_or(b',', |(_, delimiter)| delimiter)
}

impl Header {
    /// Reads the first line of a file.
    ///
    /// # Errors
    /// Where there is none, or it is no header.
    pub fn read<R: std::io::Read>(
        lines: &mut Lines<R>,
        encoding: Encoding,
    ) -> Result<Header, Refused> {
        let line = match lines.advance() {
            Next::Record { line, .. } => line,
            Next::Malformed { line, fault } => {
                let column = fault.cell + 1;
                return Err(Refused(format!(
                    "line {line}, column {column}: {}",
                    fault.why
                )));
            }
            Next::End => return Err(Refused("the file is empty".to_owned())),
        };
        let (bytes, spans) = lines.record();
        let cells = Cells::new(bytes, spans, encoding);
        let mut columns = Vec::with_capacity(cells.len());
        for index in 0..cells.len() {
            let name = cells.text(Some(index)).map_err(|fault| {
                Refused(format!("line {line}, column {}: {}", index + 1, fault.why))
            })?;
            let name = name.unwrap_or_default().into_owned();
            columns.push(Column {
                plain: plain(&name),
                meaning: name.clone(),
                written: name,
            });
        }
        Ok(Header { columns, line })
    }

    /// The header with the meanings that a person gave: column to field. A
    /// column without one is left out, whatever its name, because another
    /// system's `amount` is not ours.
    ///
    /// # Errors
    /// Where a column is not there.
    pub fn mapped(mut self, map: &BTreeMap<String, String>) -> Result<Header, Refused> {
        let mut meanings = vec![None; self.columns.len()];
        for (name, field) in map {
            let wanted = plain(name);
            let mut found = self.columns.iter().enumerate();
            let exact = found.find(|(_, column)| column.written == name.trim());
            let found = exact.or_else(|| {
                let mut columns = self.columns.iter().enumerate();
                columns.find(|(_, column)| column.plain == wanted)
            });
            let Some((index, _)) = found else {
                let why = format!("there is no column \"{name}\", which the mapping names");
                return Err(self.refused(&why));
            };
            if let Some(slot) = meanings.get_mut(index) {
                *slot = Some(field.clone());
            }
        }
        for (column, meaning) in self.columns.iter_mut().zip(meanings) {
            column.meaning = meaning.unwrap_or_default();
            column.plain = plain(&column.meaning);
        }
        Ok(self)
    }

    /// Whose file it is, if the names say so.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        let all = |names: &[&str]| names.iter().all(|name| self.has(name));
        if self.has("paymentid") {
            Some(Format::Tributary)
        } else if all(&["id", "createddate(utc)", "amount"]) {
            Some(Format::Stripe)
        } else if all(&["id", "created(utc)", "amount"]) {
            Some(Format::StripeOld)
        } else if all(&["transactionid", "accountcode", "type", "status"]) {
            Some(Format::Recurly)
        } else if all(&["key", "amount", "createdat"]) {
            Some(Format::PartnerStack)
        } else {
            None
        }
    }

    /// How many columns there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// A column's name as the file has it.
    #[must_use]
    pub fn written(&self, column: usize) -> Option<&str> {
        let name = self.columns.get(column)?.written.as_str();
        (!name.is_empty()).then_some(name)
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.plain == name)
    }

    /// The column with one of these names, which are plain.
    ///
    /// # Errors
    /// Where two have one, because they could say two things.
    pub fn find(&self, names: &[&str]) -> Result<Option<usize>, Refused> {
        let fits = |column: &Column| names.contains(&column.plain.as_str());
        let mut found = self.columns.iter().enumerate().filter(|(_, it)| fits(it));
        let first = found.next();
        match (first, found.next()) {
            (Some((one, column)), Some((other, _))) => Err(self.twice(&column.written, one, other)),
            (first, _) => Ok(first.map(|(index, _)| index)),
        }
    }

    /// The column that has to be there.
    ///
    /// # Errors
    /// Where it is not, with `what` it would be.
    pub fn needed(&self, names: &[&str], what: &str) -> Result<usize, Refused> {
        let missing = || self.refused(&format!("there is no column {what}"));
        self.find(names)?.ok_or_else(missing)
    }

    /// Columns whose name begins with `prefix`, each with the rest of its name.
    ///
    /// # Errors
    /// Where two have one name.
    pub fn prefixed(&self, prefix: &str) -> Result<Vec<(usize, String)>, Refused> {
        self.named(|name| {
            let (head, rest) = name.split_at_checked(prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then_some(rest)
        })
    }

    /// Columns whose name ends in `suffix`, each with the rest of its name.
    ///
    /// # Errors
    /// Where two have one name.
    pub fn suffixed(&self, suffix: &str) -> Result<Vec<(usize, String)>, Refused> {
        self.named(|name| name.strip_suffix(suffix))
    }

    fn named(&self, rest: impl Fn(&str) -> Option<&str>) -> Result<Vec<(usize, String)>, Refused> {
        let mut found: Vec<(usize, String)> = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            let Some(name) = rest(&column.meaning)
                .map(str::trim)
                .filter(|it| !it.is_empty())
            else {
                continue;
            };
            if let Some((other, _)) = found.iter().find(|(_, known)| known == name) {
                return Err(self.twice(&column.written, *other, index));
            }
            found.push((index, name.to_owned()));
        }
        Ok(found)
    }

    /// Every meaning has to be one of these names or begin with one of the
    /// prefixes; for mappings, where a misspelt field would be left out unsaid.
    ///
    /// # Errors
    /// Names the first that is none.
    pub fn only(&self, names: &[&str], prefixes: &[&str]) -> Result<(), Refused> {
        for column in &self.columns {
            let prefixed = |prefix: &&str| {
                let head = column.meaning.get(..prefix.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
            };
            let known = names.iter().any(|name| plain(name) == column.plain);
            if !column.meaning.is_empty() && !known && !prefixes.iter().any(prefixed) {
                return Err(Refused(format!(
                    "the mapping names the field \"{}\"; there are {}, and names that begin with {}",
                    column.meaning,
                    names.join(", "),
                    prefixes.join(", ")
                )));
            }
        }
        Ok(())
    }

    fn twice(&self, name: &str, one: usize, other: usize) -> Refused {
        Refused(format!(
            "line {}: columns {} and {} could both be \"{name}\"; remove one of them",
            self.line,
            one + 1,
            other + 1
        ))
    }

    /// A refusal that says what the header has.
    #[must_use]
    pub fn refused(&self, why: &str) -> Refused {
        let shown = |column: &Column| -> String {
            let name = column.written.chars().filter(|c| !c.is_control());
            name.take(NAME_SHOWN_CHARS).collect()
        };
        let names: Vec<String> = self.columns.iter().take(SHOWN_MOST).map(shown).collect();
        let more = match self.columns.len() > SHOWN_MOST {
            true => format!(" and {} more", self.columns.len() - SHOWN_MOST),
            false => String::new(),
        };
        let line = self.line;
        let names = names.join(" | ");
        Refused(format!("line {line}: {why}. The file has: {names}{more}"))
    }
}
