//! Files of old payments: `fixtures/csv/<case>.csv` must read as `<case>.json`
//! says, a provider's file must say what its webhooks say, and no damage to a
//! file may lose a row unsaid.
//!
//! `UPDATE_FIXTURES=1` rewrites what is expected; look at the difference before
//! it is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tributary::import::row::{self, Decimal, Options, Refused, Rejected, Row, Rows};
use tributary::movement::{Clue, Fact, Reading, Scope};
use tributary::position::{Position, position};

use crate::golden;

/// What `<case>.json` holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expected {
    /// What the case shows, for people.
    about: String,
    /// What the person said about the file.
    provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    map: BTreeMap<String, String>,
    /// What came of it: one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rows: Vec<Outcome>,
}

/// What came of one row: a reading, or why it was rejected.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Outcome {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<Reading>,
}

const PROVIDERS: [&str; 4] = ["stripe", "recurly", "chargebee", "custom"];

impl Expected {
    fn options(&self) -> Options {
        let provider = PROVIDERS.into_iter().find(|name| *name == self.provider);
        let parsed = |format: &String| format.parse().unwrap();
        Options {
            source: "shop".to_owned(),
            provider: provider.unwrap_or("custom"),
            format: self.format.as_ref().map(parsed).unwrap_or_default(),
            zone: self.zone.as_deref().map(|name| row::zone(name).unwrap()),
            currency: self.currency.clone(),
            map: self.map.clone(),
            ..Options::default()
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/csv")
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().unwrap() == "csv")
        .collect();
    files.sort();
    assert!(files.len() > 10);
    files
}

fn expected(case: &Path) -> Expected {
    let text = fs::read_to_string(case.with_extension("json")).unwrap_or_default();
    match text.is_empty() {
        true => Expected::default(),
        false => serde_json::from_str(&text).unwrap(),
    }
}

fn open<'b>(bytes: &'b [u8], options: &Options) -> Result<Rows<&'b [u8]>, Refused> {
    row::open(bytes, options)
}

fn outcome(row: Result<Row, Rejected>) -> Outcome {
    match row {
        Ok(Row { line, reading }) => Outcome {
            line,
            reading: Some(reading),
            ..Outcome::default()
        },
        Err(rejected) => Outcome {
            line: rejected.line,
            column: rejected.column,
            rejected: Some(rejected.reason),
            reading: None,
        },
    }
}

#[test]
fn every_file_reads_as_its_case_says() {
    let mut differing = Vec::new();
    for case in cases() {
        let known = expected(&case);
        let bytes = fs::read(&case).unwrap();
        let mut read = Expected {
            refused: None,
            file: None,
            rows: Vec::new(),
            ..expected(&case)
        };
        match open(&bytes, &known.options()) {
            Err(refused) => read.refused = Some(refused.to_string()),
            Ok(mut rows) => {
                read.rows = rows.by_ref().map(outcome).collect();
                assert_eq!(rows.bytes_read(), bytes.len() as u64, "{}", case.display());
                let delimiter = char::from(rows.delimiter());
                let (format, encoding) = (rows.format().word(), rows.encoding());
                read.file = Some(format!("{format}, {encoding}, {delimiter:?}"));
            }
        }
        let text = serde_json::to_string_pretty(&read).unwrap() + "\n";
        let there = serde_json::to_string_pretty(&known).unwrap() + "\n";
        if text != there {
            differing.push(case.display().to_string());
            if golden::updating() {
                fs::write(case.with_extension("json"), text).unwrap();
            }
        }
        assert!(
            !known.about.is_empty(),
            "{} says not what it shows",
            case.display()
        );
    }
    assert!(differing.is_empty(), "these read otherwise: {differing:?}");
}

/// What every row of a case reads as.
fn readings(case: &str) -> Vec<Reading> {
    let case = folder().join(format!("{case}.csv"));
    let bytes = fs::read(&case).unwrap();
    let rows = open(&bytes, &expected(&case).options()).unwrap();
    rows.filter_map(|row| Some(row.ok()?.reading)).collect()
}

fn facts<'r>(readings: impl IntoIterator<Item = &'r Reading>) -> Vec<Fact> {
    let readings = readings.into_iter();
    let movements = readings.flat_map(|reading| &reading.movements);
    movements.map(|movement| movement.fact.clone()).collect()
}

/// What the recorded webhooks of a provider say.
fn webhooks(provider: &str, cases: &[&str]) -> Vec<Reading> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let read = |case: &&str| {
        let file = root.join(provider).join(format!("{case}.http"));
        golden::expected(&file).reading.unwrap()
    };
    cases.iter().map(read).collect()
}

/// The fold of the file alone, of the webhooks alone, and of both in both orders.
struct Folds {
    file: Position,
    webhooks: Position,
}

fn folds(file: &[&Reading], webhooks: &[Reading]) -> Folds {
    let (rows, told) = (facts(file.iter().copied()), facts(webhooks));
    let alone = position(&told);
    for both in [[rows.clone(), told.clone()], [told, rows.clone()]] {
        assert_eq!(position(&both.concat()), alone, "{:?}", file[0].movements);
    }
    Folds {
        file: position(&rows),
        webhooks: alone,
    }
}

fn row_of<'r>(readings: &'r [Reading], id: &str) -> &'r Reading {
    let named = |reading: &&Reading| facts([*reading]).iter().any(|fact| fact.id == id);
    readings.iter().find(named).unwrap()
}

#[test]
fn a_row_of_stripes_says_what_the_webhooks_say() {
    let rows = readings("stripe");
    for (id, told) in [
        ("ch_csv_paid", vec!["charge-succeeded"]),
        ("ch_csv_partly", vec!["charge-refunded-partial"]),
        ("ch_csv_refunded", vec!["charge-refunded-full"]),
        ("ch_csv_uncaptured", vec!["charge-succeeded-uncaptured"]),
        ("ch_csv_failed", vec!["charge-refunded-failed-charge"]),
        ("ch_csv_lost", vec!["charge-succeeded", "dispute-lost"]),
        ("ch_csv_won", vec!["charge-succeeded", "dispute-won"]),
        ("ch_csv_open", vec!["charge-succeeded", "dispute-created"]),
        (
            "ch_csv_inquiry",
            vec!["charge-succeeded", "dispute-created-warning"],
        ),
    ] {
        let both = folds(&[row_of(&rows, id)], &webhooks("stripe", &told));
        assert_eq!(both.file, both.webhooks, "{id}");
    }
    // A file does not say that less was captured than authorised. What is left
    // is the same, and once a webhook tells, so is the rest.
    let both = folds(
        &[row_of(&rows, "ch_csv_split")],
        &webhooks("stripe", &["charge-captured-partial"]),
    );
    assert_eq!(both.file.net(), both.webhooks.net());
    assert_eq!(both.file.gross(), Some(4_999));
    assert_eq!(both.webhooks.gross(), Some(3_000));
}

#[test]
fn a_row_of_stripes_older_layout_says_the_same_but_for_when_refunds_were_made() {
    let rows = readings("stripe-old");
    for (id, told) in [
        ("ch_csv_paid", vec!["charge-succeeded"]),
        ("ch_csv_partly", vec!["charge-refunded-partial"]),
        ("ch_csv_failed", vec!["charge-refunded-failed-charge"]),
        ("ch_csv_lost", vec!["charge-succeeded", "dispute-lost"]),
    ] {
        let both = folds(&[row_of(&rows, id)], &webhooks("stripe", &told));
        let dated = Position {
            newest_reversal: both.webhooks.newest_reversal,
            ..both.file
        };
        assert_eq!(dated, both.webhooks, "{id}");
    }
}

#[test]
fn a_refund_known_one_by_one_and_in_a_file_counts_once() {
    let rows = readings("stripe");
    let row = row_of(&rows, "ch_csv_partly");
    let mut single = facts(&webhooks("stripe", &["charge-succeeded", "refund-created"]));
    let amount = single.last().unwrap().amount;
    single.extend(facts([row]));
    let both = position(&single);
    assert_eq!(both.refunds, amount.max(1_999));
    assert_eq!(both.gross(), Some(4_999));
}

fn named(clues: &[Clue]) -> BTreeSet<(&str, &str)> {
    clues
        .iter()
        .map(|clue| (clue.field.as_str(), clue.value.as_str()))
        .collect()
}

/// Everything but the facts: the same names for the same things, and a webhook's
/// word above the file's.
fn same_names(row: &Reading, told: &Reading, id: &str, missing: &[&str]) {
    let own = told.movements[0].fact.id.as_str();
    let text = serde_json::to_string(told).unwrap().replace(own, id);
    let told: Reading = serde_json::from_str(&text).unwrap();
    assert_eq!(row.movements[0].about, told.movements[0].about);
    let kept = told
        .clues
        .iter()
        .filter(|clue| !missing.contains(&clue.field.as_str()));
    let kept: Vec<Clue> = kept.cloned().collect();
    assert_eq!(named(&row.clues), named(&kept));
    let oldest = told.clues.iter().map(|clue| clue.version).min().unwrap();
    assert!(row.clues.iter().all(|clue| clue.version < oldest.min(0)));
    for alias in &row.aliases {
        let kinds = told.aliases.iter().filter(|other| other.kind == alias.kind);
        assert!(
            kinds.clone().all(|other| other.money == alias.money),
            "{alias:?}"
        );
        let same = kinds.clone().any(|other| other.id == alias.id);
        assert!(same || kinds.count() == 0, "{alias:?}");
    }
    assert_eq!(row.scope, told.scope);
}

#[test]
fn a_row_names_what_the_webhook_names() {
    let rows = readings("stripe");
    let told = webhooks(
        "stripe",
        &["charge-succeeded", "charge-succeeded-test-mode"],
    );
    same_names(row_of(&rows, "ch_csv_paid"), &told[0], "ch_csv_paid", &[]);
    same_names(row_of(&rows, "ch_csv_test"), &told[1], "ch_csv_test", &[]);
    let rows = readings("recurly");
    let told = webhooks("recurly", &["payment", "payment-test"]);
    let id = told[0].movements[0].fact.id.clone();
    same_names(&rows[0], &told[0], &id, &["email"]);
    let test = rows
        .iter()
        .find(|row| row.scope.live == Some(false))
        .unwrap();
    same_names(test, &told[1], &id, &["email"]);
}

#[test]
fn a_row_of_recurlys_says_what_the_notifications_say() {
    let rows = readings("recurly");
    for (row, told) in [
        (vec![0], vec!["payment"]),
        (vec![1], vec!["payment", "void"]),
        (vec![0, 2], vec!["payment", "refund-partial"]),
        (vec![0, 3], vec!["payment", "void-of-a-refund"]),
        (vec![0, 4], vec!["payment", "refund-full"]),
    ] {
        let chosen: Vec<&Reading> = row.iter().map(|index| &rows[*index]).collect();
        let both = folds(&chosen, &webhooks("recurly", &told));
        assert_eq!(both.file, both.webhooks, "{told:?}");
    }
    // A late failure, told by either, takes back what was told as paid.
    let late = folds(
        &[&rows[6]],
        &webhooks("recurly", &["payment", "status-updated-declined"]),
    );
    assert_eq!(late.webhooks.net(), Some(0));
    let paid = webhooks("recurly", &["payment"]);
    assert_eq!(
        position(&facts(paid.iter().chain([&rows[6]]))).net(),
        Some(0)
    );
}

#[test]
fn our_own_columns_say_what_the_webhook_says() {
    let told = webhooks(
        "stripe",
        &["charge-succeeded", "charge-refunded-partial", "dispute-won"],
    );
    let own = b"payment_id,kind,reversal_id,basis,status,amount,currency,occurred_at,rank\n\
        ch_trib_new_01,,,,,4999,USD,2026-06-01T11:00:00Z,\n\
        ch_trib_new_01,refund,,total,,1999,USD,2026-06-02T11:00:00Z,\n\
        ch_trib_new_01,dispute,du_trib_01,,taken,4999,USD,2026-06-06T11:00:00Z,1\n\
        ch_trib_new_01,dispute,du_trib_01,,won,4999,USD,2026-07-01T11:00:00Z,1\n";
    let options = Options {
        provider: "stripe",
        ..Options::default()
    };
    let rows: Vec<Reading> = open(own, &options)
        .unwrap()
        .map(|row| row.unwrap().reading)
        .collect();
    let rows: Vec<&Reading> = rows.iter().collect();
    let both = folds(&rows, &told);
    assert_eq!(both.file, both.webhooks);
    assert_eq!(rows[0].aliases, told[0].aliases[..1]);
}

#[test]
fn two_files_of_different_age_agree_in_any_order() {
    let mut rows = readings("stripe");
    rows.retain(|row| {
        facts([row])
            .iter()
            .all(|fact| fact.currency.code() == "USD")
    });
    // The same charge at different times, as one export after another shows it.
    let story = [
        "ch_csv_uncaptured",
        "ch_csv_paid",
        "ch_csv_partly",
        "ch_csv_refunded",
        "ch_csv_lost",
        "ch_csv_won",
    ];
    let story: Vec<Vec<Fact>> = story.iter().map(|id| facts([row_of(&rows, id)])).collect();
    for newest in 1..=story.len() {
        let forwards = position(&story[..newest].concat());
        let mut backwards = story[..newest].to_vec();
        backwards.reverse();
        assert_eq!(position(&backwards.concat()), forwards);
    }
    let all = position(&story.concat());
    assert_eq!((all.refunds, all.disputes, all.doubt), (4_999, 0, None));
}

#[test]
fn a_files_scope_is_said_by_the_row_or_by_the_person() {
    let text = b"payment_id,live,amount,currency,occurred_at\na,,1,USD,1780311600000\nb,false,1,USD,1780311600000\n";
    let options = Options {
        scope: Scope {
            live: Some(true),
            account: "acct_1".to_owned(),
        },
        ..Options::default()
    };
    let rows = open(text, &options)
        .unwrap()
        .map(|row| row.unwrap().reading.scope);
    let words: Vec<String> = rows.map(|scope| scope.word()).collect();
    assert_eq!(words, ["live/acct_1", "test/acct_1"]);
}

#[test]
fn what_cannot_go_together_is_refused() {
    let stripe = fs::read(folder().join("stripe.csv")).unwrap();
    let refused = |change: fn(&mut Options)| {
        let mut options = Options {
            provider: "stripe",
            ..Options::default()
        };
        change(&mut options);
        open(&stripe, &options)
            .err()
            .map(|refused| refused.to_string())
            .unwrap_or_default()
    };
    assert_eq!(refused(|_| {}), "");
    assert!(refused(|options| options.provider = "chargebee").contains("export of stripe"));
    assert!(refused(|options| options.format = row::Format::Recurly).contains("export of recurly"));
    let recurly = fs::read(folder().join("recurly.csv")).unwrap();
    let options = Options {
        provider: "recurly",
        ..Options::default()
    };
    assert!(
        open(&recurly, &options)
            .err()
            .unwrap()
            .to_string()
            .contains("--zone")
    );
    assert!(refused(|options| options.format = row::Format::Mapped).contains("--map"));
    assert!(refused(|options| options.currency = Some("dollars".to_owned())).contains("dollars"));
    assert!(refused(|options| options.delimiter = Some(b';')).contains("no known format"));
    let mapped = |column: &str, field: &str| {
        let options = Options {
            map: BTreeMap::from([(column.to_owned(), field.to_owned())]),
            ..Options::default()
        };
        open(&stripe, &options).err().unwrap().to_string()
    };
    assert!(mapped("Amont", "amount").contains("no column \"Amont\""));
    assert!(mapped("Amount", "sum").contains("the field \"sum\""));
    assert!(mapped("Amount", "amount_decimal").contains("payment_id"));
}

/// A file that breaks off with an error after its bytes.
struct Breaks<'b>(&'b [u8]);

impl Read for Breaks<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(std::io::Error::other("the disk is gone")),
            bytes => Ok(bytes),
        }
    }
}

#[test]
fn a_file_that_breaks_off_says_so_and_reads_no_half_row() {
    let text =
        b"payment_id,amount,currency,occurred_at\na,1,USD,1780311600000\nb,1,USD,178031160000";
    let mut rows = row::open(Breaks(text), &Options::default()).unwrap();
    let read: Vec<_> = rows.by_ref().collect();
    assert_eq!(read.len(), 3);
    assert!(read[0].is_ok());
    assert!(
        read[1]
            .as_ref()
            .unwrap_err()
            .reason
            .contains("to the end of this row")
    );
    assert!(
        read[2]
            .as_ref()
            .unwrap_err()
            .reason
            .contains("the disk is gone")
    );
    assert_eq!(rows.broken(), Some("the disk is gone"));
    let refused = row::open(Breaks(b""), &Options::default()).err().unwrap();
    assert!(refused.to_string().contains("the disk is gone"));
}

/// Memory is bounded: however long a row or a quote that is never closed, it
/// costs its line and no other.
#[test]
fn a_row_without_an_end_costs_one_row() {
    let good = "a,1,USD,1780311600000\n";
    for endless in [
        "x".repeat(3 << 20),
        format!("\"{}", "x".repeat(3 << 20)),
        format!("\"{}", good.repeat(40_000)),
        ",".repeat(1 << 20),
    ] {
        let text = format!("payment_id,amount,currency,occurred_at\n{good}{endless}\n{good}");
        let rows: Vec<_> = open(text.as_bytes(), &Options::default())
            .unwrap()
            .collect();
        let lines = text.lines().filter(|line| !line.is_empty()).count() - 1;
        assert_eq!(rows.len(), lines);
        let rejected: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
        assert_eq!(
            rejected.len(),
            1,
            "{:?}",
            rejected.iter().take(3).collect::<Vec<_>>()
        );
        assert_eq!(rejected[0].line, 3);
    }
}

/// Reads a few bytes at a time, as pipes do.
struct Drips<'b>(&'b [u8], usize);

impl Read for Drips<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = into.len().min(self.1);
        self.0.read(&mut into[..most])
    }
}

#[test]
fn how_the_bytes_arrive_changes_nothing() {
    for case in cases() {
        let bytes = fs::read(&case).unwrap();
        let options = expected(&case).options();
        let Ok(rows) = open(&bytes, &options) else {
            continue;
        };
        let whole: Vec<_> = rows.collect();
        let drips = row::open(Drips(&bytes, 3), &options).unwrap();
        assert_eq!(drips.collect::<Vec<_>>(), whole, "{}", case.display());
    }
}

/// One damage to a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Double(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, &'static str),
    Remove(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let inserted = prop::sample::select(vec![
        "\"", "\"\"", "\n", "\r", "\r\n", ",", ";", "\t", "\0", "\u{feff}", "'=", "\u{e9}",
        "\"\n\"", " ", "-",
    ]);
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, by)| Damage::Flip(at, by)),
        at().prop_map(Damage::Cut),
        (at(), at()).prop_map(|(from, to)| Damage::Double(from, to)),
        (at(), inserted).prop_map(|(at, what)| Damage::Insert(at, what)),
        at().prop_map(Damage::Remove),
    ]
}

fn damaged(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match damage {
            Damage::Flip(at, by) => bytes[at.index(length)] ^= by,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Double(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                let again = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(to..to, again);
            }
            Damage::Insert(at, what) => {
                let at = at.index(length);
                bytes.splice(at..at, what.bytes());
            }
            Damage::Remove(at) => {
                bytes.remove(at.index(length));
            }
        }
    }
    bytes
}

/// The lines of a text by any line end, each with whether something stands on it
/// that is no space and no delimiter.
fn lines(bytes: &[u8], delimiter: u8) -> Vec<(Vec<u8>, bool)> {
    let mut lines = vec![Vec::new()];
    let mut rest = bytes.iter().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'\r' if rest.peek() == Some(&&b'\n') => {}
            b'\r' | b'\n' => lines.push(Vec::new()),
            byte => lines.last_mut().unwrap().push(*byte),
        }
    }
    let says = |line: &[u8]| {
        let nothing = |byte: &u8| *byte == delimiter || byte.is_ascii_whitespace() || *byte == b'"';
        !line.iter().all(nothing)
    };
    lines
        .into_iter()
        .map(|line| (line.clone(), says(&line)))
        .collect()
}

/// Every line of the file is told of: it begins a row that was read or rejected,
/// or it stands inside a quoted cell of a row that was read, or of one that was
/// rejected for what its cells say and not for its form.
fn every_row_is_told(bytes: &[u8], options: &Options) {
    let Ok(mut rows) = open(bytes, options) else {
        return;
    };
    let delimiter = rows.delimiter();
    let told: BTreeMap<u64, Result<(), String>> = rows
        .by_ref()
        .map(|row| match row {
            Ok(row) => (row.line, Ok(())),
            Err(rejected) => (rejected.line, Err(rejected.reason)),
        })
        .collect();
    assert_eq!(rows.bytes_read(), bytes.len() as u64);
    let lines = lines(bytes, delimiter);
    let mut line = 1;
    // The header may be quoted over several lines.
    line += spanned(&lines, 1, delimiter);
    while line <= lines.len() as u64 {
        let (text, says) = &lines[usize::try_from(line).unwrap() - 1];
        match told.get(&line) {
            None => {
                assert!(
                    !says,
                    "line {line} is lost: {:?}",
                    String::from_utf8_lossy(text)
                );
                line += 1;
            }
            Some(Err(why)) if malformed(why) => line += 1,
            Some(_) => line += spanned(&lines, line, delimiter),
        }
    }
}

/// The reasons that are about a row's form: only its first line is told of then.
fn malformed(why: &str) -> bool {
    ["quote", "longer than 256 KiB", "4096", "and the header"]
        .iter()
        .any(|part| why.contains(part))
}

/// How many lines the record has that begins on `line`: until its quotes close.
fn spanned(lines: &[(Vec<u8>, bool)], line: u64, delimiter: u8) -> u64 {
    let first = usize::try_from(line).unwrap() - 1;
    let (mut quoted, mut begins) = (false, true);
    for (index, (text, _)) in lines[first..].iter().enumerate() {
        let skip = if index == 0 && first == 0 && text.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        for byte in &text[skip..] {
            match byte {
                b'"' if quoted || begins => (quoted, begins) = (!quoted, false),
                b'"' => quoted = !quoted,
                byte => begins = !quoted && *byte == delimiter,
            }
        }
        if !quoted {
            return index as u64 + 1;
        }
    }
    (lines.len() - first) as u64
}

#[test]
fn no_row_of_a_good_file_is_lost() {
    for case in cases() {
        every_row_is_told(&fs::read(&case).unwrap(), &expected(&case).options());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_loses_a_row_unsaid(damages in prop::collection::vec(damage(), 1..6)) {
        for case in cases() {
            let bytes = damaged(&fs::read(&case).unwrap(), &damages);
            every_row_is_told(&bytes, &expected(&case).options());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), comma in any::<bool>()) {
        let mut text = b"payment_id,amount_decimal,currency,occurred_at\n".to_vec();
        text.extend(bytes);
        let decimal = if comma { Decimal::Comma } else { Decimal::Auto };
        every_row_is_told(&text, &Options { decimal, ..Options::default() });
    }

    #[test]
    fn what_is_written_guarded_reads_back(value in "['=+@x -]{0,5}[a-z\u{e9}]{1,9}") {
        let value = value.trim();
        let written = tributary::import::guard::guarded(value).replace('"', "\"\"");
        let text = format!("payment_id,amount,currency,occurred_at\n\"{written}\",1,USD,1780311600000\n");
        let row = open(text.as_bytes(), &Options::default()).unwrap().next().unwrap().unwrap();
        prop_assert_eq!(&row.reading.movements[0].fact.id, value);
    }
}
