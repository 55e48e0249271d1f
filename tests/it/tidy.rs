//! Rules about the sources themselves: lists on disk are compared with lists
//! in code, and what a reviewer would have to look for is looked for here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use tributary::ledger::book::STATES;

/// No file is longer, in lines.
const LINES_MAX: usize = 700;
/// What a file aims at; longer ones are named.
const LINES_AIM: usize = 500;
/// Files that were longer when the rule came, with their lines then; they may
/// only shrink.
const LONG_BEFORE: [(&str, usize); 2] = [
    ("ledger/sqlite/forward.rs", 737),
    ("provider/stripe/reading.rs", 716),
];
/// A parser of numbers has to name those that it refuses: the file and the
/// word with which such a line begins.
const FLOATS_REFUSED: (&str, &str) = ("config/read.rs", "bool");
/// Endings of names that say "does things" and not what.
const DOERS: [&str; 5] = ["Manager", "Service", "Handler", "Helper", "Util"];
/// The one name that may end so.
const DOER_ALLOWED: (&str, &str) = ("serve.rs", "Service");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// Every file in `src` with its path from there and its text.
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    found.retain(|path| path.extension().is_some_and(|it| it == "rs"));
    found.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&src).unwrap().display().to_string(), text)
    };
    found.into_iter().map(read).collect()
}

/// The words of a text: names and numbers.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[test]
fn every_source_says_what_it_is() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name} does not open with //!");
    }
}

#[test]
fn no_source_is_too_long() {
    let mut too_long = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > LINES_AIM {
            println!("{name}: {lines} lines, the aim is {LINES_AIM}");
        }
        let before = LONG_BEFORE.iter().find(|(long, _)| *long == name);
        if lines > before.map_or(LINES_MAX, |(_, lines)| *lines) {
            too_long.push(format!("{name}: {lines}"));
        }
    }
    assert!(too_long.is_empty(), "over {LINES_MAX} lines: {too_long:?}");
}

#[test]
fn nothing_is_named_for_doing() {
    for (name, text) in sources() {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            let mut before = "";
            for word in words(line) {
                let named = ["struct", "enum", "trait", "type"].contains(&before);
                let doer = DOERS.iter().any(|ending| word.ends_with(ending));
                let allowed = (name.as_str(), word) == DOER_ALLOWED;
                assert!(!(named && doer) || allowed, "{name}: {word}");
                before = word;
            }
        }
    }
}

#[test]
fn no_float_comes_near_money() {
    for (name, text) in sources() {
        let (refusing, begins) = FLOATS_REFUSED;
        let code = text
            .lines()
            .filter(|line| name != refusing || !line.trim_start().starts_with(begins));
        for line in code {
            let float = words(line).any(|word| ["f32", "f64"].contains(&word));
            assert!(!float, "{name}: {line}");
        }
    }
}

#[test]
fn tracked_files_name_no_machine() {
    // Written in two parts, or this file would find itself.
    let never = [["/wo", "rk/"], ["/tmp/", "bash"], ["fa", "rm"]].map(|parts| parts.concat());
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output();
    let Some(listed) = listed.ok().filter(|listed| listed.status.success()) else {
        println!("no git here: nothing is tracked");
        return;
    };
    for name in String::from_utf8(listed.stdout)
        .unwrap()
        .split_terminator('\0')
    {
        let Ok(bytes) = std::fs::read(root().join(name)) else {
            continue; // Deleted and not yet told.
        };
        let text = String::from_utf8_lossy(&bytes);
        for part in &never {
            let part = part.as_str();
            let line = text.lines().find(|line| line.contains(part));
            assert_eq!(line, None, "{name} holds {part}");
        }
    }
}

/// The commands as they are typed.
fn commands() -> BTreeSet<String> {
    let binary = env!("CARGO_BIN_EXE_tributary");
    let help = Command::new(binary).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty());
    let named = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_readme_names_every_command() {
    let commands = commands();
    for name in ["serve", "check", "explain", "completions"] {
        assert!(commands.contains(name), "{name}: {commands:?}");
    }
    let Ok(readme) = std::fs::read_to_string(root().join("README.md")) else {
        println!("there is no README.md yet");
        return;
    };
    let missing: Vec<_> = commands
        .iter()
        .filter(|name| {
            !readme.contains(&format!("tributary {name}")) && !readme.contains(&format!("`{name}"))
        })
        .collect();
    assert!(missing.is_empty(), "README.md does not name {missing:?}");
}

#[test]
fn every_provider_is_written_down() {
    let text = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    // Keys are aligned in some documents.
    let squeezed = |name: &str| {
        let words: Vec<String> = text(name).split_whitespace().map(str::to_owned).collect();
        words.join(" ")
    };
    let (readme, example) = (squeezed("README.md"), squeezed("config.example.toml"));
    let told = ["CHANGELOG.md", "SECURITY.md", "fixtures/README.md"];
    for name in tributary::provider::NAMES {
        let key = format!("provider = \"{name}\"");
        assert!(readme.contains(&key), "README.md has no section with {key}");
        assert!(example.contains(&key), "config.example.toml has no {key}");
        let architecture = text("ARCHITECTURE.md");
        let listed = architecture.contains(&format!("`{name}`"));
        assert!(listed, "ARCHITECTURE.md does not list {name}");
        for document in told {
            let found = text(document).to_lowercase().contains(name);
            assert!(found, "{document} says nothing of {name}");
        }
        let cases = std::fs::read_dir(root().join("fixtures").join(name));
        let any = cases.is_ok_and(|mut cases| cases.next().is_some());
        assert!(any, "fixtures/{name} holds nothing");
    }
}

#[test]
fn the_ledger_knows_the_states_that_the_code_knows() {
    let sql = std::fs::read_to_string(root().join("src/ledger/sql/sqlite/001.sql")).unwrap();
    let (_, payments) = sql.split_once("CREATE TABLE payments").unwrap();
    let (_, list) = payments.split_once("CHECK (state IN").unwrap();
    let (list, _) = list.split_once("))").unwrap();
    let listed: Vec<&str> = list.split('\'').skip(1).step_by(2).collect();
    assert_eq!(listed, STATES.map(tributary::ledger::book::State::word));
}

#[test]
fn every_mutant_is_where_it_was() {
    crate::mutants::check();
}

/// The names of all tests: functions below an attribute that makes them one.
fn tests() -> BTreeSet<String> {
    let mut found = Vec::new();
    files(&root().join("src"), &mut found);
    files(&root().join("tests"), &mut found);
    let mut names = BTreeSet::new();
    for path in found
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
    {
        let text = std::fs::read_to_string(path).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let name = line.strip_prefix("async ").unwrap_or(line);
            if let Some(name) = name.strip_prefix("fn ") {
                let name = words(name).next().unwrap();
                if std::mem::take(&mut is_test) {
                    names.insert(name.to_owned());
                }
            }
        }
    }
    names
}

/// A name between backquotes that can only be a test's: three words or more.
fn test_names(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.matches('_').count() >= 2 && words(name).eq([*name]))
}

#[test]
fn the_page_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, page) = page.split_once("\n## Why it cannot pay twice\n").unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let tests = tests();
    for name in test_names(page) {
        assert!(tests.contains(name), "there is no test {name}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter(|line| !line.starts_with("| because |"));
    let mut many = 0;
    for row in rows {
        assert!(test_names(row).next().is_some(), "no test proves: {row}");
        many += 1;
    }
    assert!(many >= 50, "only {many} rows");
}
