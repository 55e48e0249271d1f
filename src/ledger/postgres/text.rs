//! SQL as the verbs write it, in PostgreSQL's words: `?1` becomes `$1`, one function
//! has another name, and the index that SQLite is told to use is left out. What stands between quotes or in a
//! comment stays as it is. This is no parser: it knows where a word begins.

use std::borrow::Cow;

/// Where a text stands in another one, here and there.
const POSITION: (&str, &str) = ("instr", "strpos");

/// The statement for PostgreSQL.
pub(super) fn translated(sql: &str) -> Cow<'_, str> {
    let named = |word| sql.to_ascii_uppercase().contains(word);
    if !sql.contains('?') && !named("INDEXED") && !sql.contains(POSITION.0) {
        return Cow::Borrowed(sql);
    }
    let mut made = String::with_capacity(sql.len());
    let mut rest = sql;
    // As SQLite counts: a bare one is the one after the greatest so far.
    let mut greatest = 0_usize;
    while let Some(first) = rest.chars().next() {
        let kept = whole(rest, first);
        if kept > 0 {
            made.push_str(&rest[..kept]);
            rest = &rest[kept..];
        } else if first == '?' {
            let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
            let number = rest[1..=digits].parse().unwrap_or(greatest + 1);
            greatest = greatest.max(number);
            made.push('$');
            made.push_str(&number.to_string());
            rest = &rest[1 + digits..];
        } else if let Some(named) = indexed_by(rest) {
            rest = &rest[named..];
        } else {
            let word = rest.bytes().take_while(|byte| is_word(*byte)).count();
            let taken = word.max(first.len_utf8());
            made.push_str(match &rest[..taken] {
                name if name == POSITION.0 => POSITION.1,
                other => other,
            });
            rest = &rest[taken..];
        }
    }
    Cow::Owned(made)
}

/// How much of `rest` is a quoted text, a quoted name or a comment.
fn whole(rest: &str, first: char) -> usize {
    let until = |begun: usize, end: &str| {
        let found = rest[begun..].find(end);
        found.map_or(rest.len(), |at| begun + at + end.len())
    };
    match first {
        // A doubled quote is two texts in a row, which is the same for us.
        '\'' => until(1, "'"),
        '"' => until(1, "\""),
        '-' if rest.starts_with("--") => until(2, "\n"),
        '/' if rest.starts_with("/*") => until(2, "*/"),
        _ => 0,
    }
}

/// How much of `rest` is `INDEXED BY name` or `NOT INDEXED`, with the space behind it.
fn indexed_by(rest: &str) -> Option<usize> {
    if let Some(after) = word(rest, "NOT") {
        let after = word(after.trim_start(), "INDEXED")?.trim_start();
        return Some(rest.len() - after.len());
    }
    let after = word(rest, "INDEXED")?;
    let after = word(after.trim_start(), "BY")?.trim_start();
    let name = after.bytes().take_while(|byte| is_word(*byte)).count();
    let after = after[name..].trim_start();
    (name > 0).then(|| rest.len() - after.len())
}

/// What follows `word`, in large or small letters, where `rest` begins with it.
fn word<'a>(rest: &'a str, word: &str) -> Option<&'a str> {
    let begins = rest.get(..word.len())?.eq_ignore_ascii_case(word);
    let after = &rest[word.len()..];
    (begins && !after.bytes().next().is_some_and(is_word)).then_some(after)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::translated;

    #[test]
    fn placeholders_are_translated_and_texts_are_not() {
        for (written, expected) in [
            ("SELECT 1", "SELECT 1"),
            ("SELECT ?1, ?12 + ?2", "SELECT $1, $12 + $2"),
            ("SELECT ?, ?5, ?", "SELECT $1, $5, $6"),
            ("SELECT '?1', ?1, 'it''s ?2'", "SELECT '?1', $1, 'it''s ?2'"),
            ("SELECT \"a?1\" -- ?1\n, ?1", "SELECT \"a?1\" -- ?1\n, $1"),
            ("SELECT /* ?1 ' */ ?1", "SELECT /* ?1 ' */ $1"),
            ("SELECT 'ä?1ö' || ?1 || 'é'", "SELECT 'ä?1ö' || $1 || 'é'"),
            ("SELECT ?1 -- the last", "SELECT $1 -- the last"),
            ("SELECT instr(a, 'instr')", "SELECT strpos(a, 'instr')"),
        ] {
            assert_eq!(translated(written), expected);
        }
    }

    #[test]
    fn the_index_of_sqlite_is_left_out() {
        for (written, expected) in [
            ("FROM a NOT INDEXED\n WHERE NOT b", "FROM a WHERE NOT b"),
            (
                "FROM a INDEXED BY a_by_b WHERE b = ?1",
                "FROM a WHERE b = $1",
            ),
            ("FROM a indexed\n  by a_by_b\nWHERE b", "FROM a WHERE b"),
            ("FROM a INDEXED BY a_by_b, c", "FROM a , c"),
            ("SELECT 'INDEXED BY x'", "SELECT 'INDEXED BY x'"),
            ("SELECT reindexed by_ FROM a", "SELECT reindexed by_ FROM a"),
        ] {
            assert_eq!(translated(written), expected);
        }
    }
}
