//! Arguments and exit codes of the program itself: 0 clean, 2 usage, 1 other.

use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipstream"));
    command.args(arguments).env_remove("SLIPSTREAM_SOCKET").env_remove("DEMO_SECONDS");
    command.output().expect("the program")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (arguments, expected) in [
        (&["--help"][..], "Usage: slipstream COMMAND"),
        (&["--version"], concat!("slipstream ", env!("CARGO_PKG_VERSION"), "\n")),
        (&["tail", "--help"], "--streams LIST"),
        (&["top", "--help"], "--once"),
        (&["demo", "--help"], "--seconds N"),
        (&["help", "tail"], "--json"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{arguments:?}: a line is too long");
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", told(&output));
    }
}

#[test]
fn usage_errors_say_what_would_be_right_and_end_with_2() {
    for (arguments, expected) in [
        (&[][..], "tail, top or demo"),
        (&["tali"], "there is no command \"tali\""),
        (&["tail", "binance"], "tail needs VENUE and SYMBOL"),
        (&["tail", "binance", "BTCUSDT", "--count", "-1"], "right is a whole number from 1"),
        (&["top", "--ocne"], "invalid option '--ocne'"),
        (&["demo", "--seconds", "soon"], "--seconds soon: right is a whole number of seconds from 1"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = told(&output);
        assert!(text.starts_with("slipstream: ") && text.contains(expected), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn without_a_daemon_the_socket_and_how_to_start_one_are_told() {
    for command in [&["tail", "binance", "BTCUSDT"][..], &["top"], &["top", "--once"]] {
        let output = run(&[command, &["--socket", "/nowhere/mktdata.sock"]].concat());
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let text = told(&output);
        for expected in ["/nowhere/mktdata.sock (No such file or directory)", "slipstream-mktdata --config"] {
            assert!(text.contains(expected), "{command:?}: {text}");
        }
    }
}

#[test]
fn the_demo_says_which_program_it_misses() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("alone-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let alone = directory.join("slipstream");
    // A link: a copy could be "text file busy" while another test's child still holds what wrote it.
    std::fs::hard_link(env!("CARGO_BIN_EXE_slipstream"), &alone).expect("a link");
    let output = Command::new(&alone).args(["demo", "--seconds", "1"]).output().expect("the program");
    assert_eq!(output.status.code(), Some(1));
    let text = told(&output);
    assert!(text.contains("slipstream-sim is missing"), "{text}");
    std::fs::remove_dir_all(&directory).expect("removing it");
    remove_kept_logs(&text);
}

/// Removes the directory that a failed demo leaves for inspection.
fn remove_kept_logs(told: &str) {
    let kept = told.lines().find_map(|line| line.split_once("the logs are kept in ")).expect("a path").1;
    std::fs::remove_dir_all(kept).expect("removing it");
}
