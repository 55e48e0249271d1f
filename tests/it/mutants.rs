//! Mutants of the core: mistakes on purpose, each of which a test must notice.
//!
//! `tests/mutants.toml` names them. The runner builds them all into one scratch
//! copy, where a variable of the environment turns one of them on, so that
//! thirty mutants cost one build. It is no coverage and proves no absence of
//! other mistakes. Run it by
//! `cargo test --test it mutants -- --ignored --nocapture`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// What stands for "this mutant is on" in a mutant's new text.
const ON: &str = "MUTANT";

/// The one test that most mutants have to get past.
const SIMULATION: &str = "sim::any_order_any_fault_any_crash_ends_at_the_truth";

/// Seeds that a mutant has to survive: most die within thirty, the hardest needs
/// some 260, and with no mutant on all of them have to pass as well.
const SEEDS: &str = "500";

/// The scratch copy's own function, which the product does not have.
const SWITCH: &str = r#"
/// True while the mutant of this name is on.
#[must_use]
pub fn mutated(name: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("TRIBUTARY_MUTANT").ok()).as_deref() == Some(name)
}
"#;

/// What the scratch copy does not need.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// A mistake on purpose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    pub name: String,
    pub file: String,
    pub old: String,
    /// The old text again, and the mistake where `MUTANT` is true.
    pub new: String,
    /// What it would do to money.
    pub harm: String,
    /// The test that notices, where it is not the simulation.
    pub test: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn all() -> Vec<Mutant> {
    let text = std::fs::read_to_string(root().join("tests/mutants.toml")).unwrap();
    toml::from_str::<List>(&text).unwrap().mutant
}

/// Every mutant is named once, says what it harms and is still where it was.
pub fn check() {
    let mut names = BTreeSet::new();
    for mutant in all() {
        let name = &mutant.name;
        assert!(names.insert(name.clone()), "two mutants are named {name}");
        assert!(!mutant.harm.is_empty(), "{name} does not say what it harms");
        assert!(mutant.new.contains(ON), "{name} is never on");
        let text = std::fs::read_to_string(root().join(&mutant.file)).unwrap();
        let found = text.matches(&mutant.old).count();
        assert_eq!(found, 1, "{name}: its old text in {}", mutant.file);
    }
    assert!(names.len() >= 20, "only {} mutants", names.len());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        if LEFT_OUT.iter().any(|left| name == *left) {
            continue;
        }
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(std::fs::copy(path, to.join(name)).unwrap()),
        }
    }
}

/// Builds all mutants into a copy at `scratch`; answers the test's binary.
fn build(scratch: &Path, mutants: &[Mutant]) -> PathBuf {
    copy(root(), scratch);
    for mutant in mutants {
        let path = scratch.join(&mutant.file);
        let text = std::fs::read_to_string(&path).unwrap();
        let on = format!("crate::mutated({:?})", mutant.name);
        let new = mutant.new.replace(ON, &on);
        std::fs::write(&path, text.replacen(&mutant.old, &new, 1)).unwrap();
    }
    let lib = scratch.join("src/lib.rs");
    let text = std::fs::read_to_string(&lib).unwrap();
    std::fs::write(&lib, text + SWITCH).unwrap();
    let built = Command::new("cargo")
        .args(["test", "--no-run", "--test", "it"])
        .args(["--message-format", "json", "--target-dir"])
        .arg(root().join("target/mutants"))
        .current_dir(scratch)
        .output()
        .unwrap();
    let told = String::from_utf8(built.stdout).unwrap();
    let mut told = told.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let ours = line["target"]["name"] == "it";
        let message = line["message"]["rendered"].as_str().map(str::to_owned);
        if line["message"]["level"] == "error" {
            println!("{}", message.unwrap_or_default());
        }
        line["executable"]
            .as_str()
            .filter(|_| ours)
            .map(PathBuf::from)
    });
    told.next_back().expect("the copy is built")
}

/// Whether a test passes with a mutant on, or why not.
fn passes(binary: &Path, scratch: &Path, test: &str, mutant: &str) -> Result<(), String> {
    let ran = Command::new(binary)
        .args(["--exact", test])
        .env("TRIBUTARY_MUTANT", mutant)
        .env("TRIBUTARY_SIM_SEEDS", SEEDS)
        .env("RUST_BACKTRACE", "0")
        .current_dir(scratch)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(!told.contains("running 0 tests"), "there is no test {test}");
    match ran.status.success() {
        true => Ok(()),
        false => {
            let why = told.lines().find(|line| line.starts_with("seed "));
            Err(why.unwrap_or(test).chars().take(160).collect())
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person asks for some mutants by the environment"
)]
fn wanted(name: &str) -> bool {
    let only = std::env::var("TRIBUTARY_MUTANTS");
    only.is_ok_and(|only| only.split(',').any(|it| it == name))
        || std::env::var_os("TRIBUTARY_MUTANTS").is_none()
}

#[test]
#[ignore = "builds the crate again and runs for minutes"]
fn every_mutant_is_noticed() {
    let mutants = all();
    let scratch = tempfile::tempdir().unwrap();
    let binary = build(scratch.path(), &mutants);
    let sound = passes(&binary, scratch.path(), SIMULATION, "");
    assert_eq!(sound, Ok(()), "with no mutant on");
    let mut survived = Vec::new();
    for mutant in mutants.iter().filter(|mutant| wanted(&mutant.name)) {
        let test = mutant.test.as_deref().unwrap_or(SIMULATION);
        match passes(&binary, scratch.path(), test, &mutant.name) {
            Ok(()) => {
                println!("SURVIVED {}", mutant.name);
                survived.push(&mutant.name);
            }
            Err(why) => println!("killed {}: {why}", mutant.name),
        }
    }
    assert!(survived.is_empty(), "survived: {survived:?}");
}
