//! `docs/faults.md` and the tests it names are held against each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How many entries the first table has.
const ENTRIES: usize = 28;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every test that a line names: `path::function`, in backticks.
fn named(line: &str) -> Vec<(String, String)> {
    let quoted = line.split('`').skip(1).step_by(2);
    let tests = quoted.filter_map(|word| word.rsplit_once("::"));
    tests
        .filter(|(path, _)| path.ends_with(".rs") || path.ends_with(".py"))
        .map(|(path, name)| (path.to_owned(), name.to_owned()))
        .collect()
}

/// Whether a file has a test of this name that runs by itself.
fn has_test(path: &str, name: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(root().join(path)) else { return false };
    if path.ends_with(".py") {
        return text.contains(&format!("def {name}("));
    }
    has_rust_test(&text, name)
}

fn has_rust_test(text: &str, name: &str) -> bool {
    // In a property test there may be attributes and words between; a function of that name has to follow `#[test]`.
    text.match_indices(&format!("fn {name}(")).any(|(at, _)| {
        let before = &text[..at];
        before.rfind("#[test]").is_some_and(|test| {
            let between = &before[test..];
            // Attributes may stand before it as well.
            let above = before[..test].trim_end().lines().rev().map(str::trim_start);
            let mut above = above.take_while(|line| line.starts_with("#[") || line.starts_with("///"));
            let is_ignored = between.contains("#[ignore") || above.any(|line| line.starts_with("#[ignore"));
            !between.contains("\n}") && !between.contains("fn ") && !is_ignored
        })
    })
}

#[test]
fn a_test_that_does_not_run_by_itself_is_none() {
    let is_one = |text: &str| has_rust_test(text, "it");
    assert!(is_one("#[test]\nfn it() {}"));
    assert!(is_one("#[ignore]\n#[test]\nfn other() {\n}\n\n#[test]\n#[should_panic]\nfn it() {\n}"));
    assert!(!is_one("fn it() {}"));
    assert!(!is_one("#[test]\nfn other() {\n}\nfn it() {}"));
    assert!(!is_one("#[test]\n#[ignore = \"long\"]\nfn it() {\n}"));
    assert!(!is_one("#[ignore]\n#[test]\nfn it() {\n}"));
}

/// A thread that dies must not leave a process behind that looks alive: in each profile that is built by itself.
#[test]
fn a_panic_ends_the_process_in_every_profile() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let profiles = manifest.split("\n[").filter_map(|table| table.strip_prefix("profile."));
    let mut aborting = BTreeSet::new();
    for (name, rest) in profiles.filter_map(|table| table.split_once("]\n")) {
        if name.contains('.') {
            continue;
        }
        let line = |wanted: &str| rest.lines().any(|line| line == wanted);
        assert!(!line("panic = \"unwind\""), "{name}");
        assert!(line("panic = \"abort\"") || rest.contains("inherits = "), "{name}");
        aborting.insert(name);
    }
    assert!(aborting.contains("dev") && aborting.contains("release"), "{aborting:?}");
}

#[test]
fn the_page_and_the_tests_agree() {
    let page = std::fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let mut numbers = Vec::new();
    let mut all = BTreeSet::new();
    for line in page.lines() {
        let tests = named(line);
        for (path, name) in &tests {
            assert!(has_test(path, name), "docs/faults.md names {path}::{name}, and there is no such test");
            all.insert(name.clone());
        }
        let Some(rest) = line.strip_prefix("| ") else { continue };
        let Some((number, rest)) = rest.split_once(" | ") else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        // An entry has its name, and a test of that name.
        let name = rest.strip_prefix("**").and_then(|rest| rest.split_once("**")).map(|(name, _)| name);
        let name = name.unwrap_or_else(|| panic!("entry {number} has no name: {line}"));
        let function = format!("fault_{number:02}_{}", name.replace([' ', '-'], "_").to_lowercase());
        // What shows a part of it on a lower rung comes behind.
        let [(path, test), ..] = &tests[..] else { panic!("entry {number} has no test: {line}") };
        assert_eq!(*test, function, "entry {number}");
        assert!(path.starts_with("engine/tests/venue_faults/"), "{path}");
        assert_eq!(line.matches(" | ").count(), 5, "entry {number} has every column: {line}");
        numbers.push(number);
    }
    assert_eq!(numbers, (1..=ENTRIES).collect::<Vec<_>>(), "each entry once, in order");
    assert!(all.len() > ENTRIES + 40, "{} tests are named", all.len());
    // And no numbered test is missing on the page.
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/venue_faults");
    for file in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for (at, _) in text.match_indices("fn fault_") {
            let name: String =
                text[at + 3..].chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
            assert!(name == "fault_" || all.contains(&name), "{name} is not on the page");
        }
    }
}
