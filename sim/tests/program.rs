//! The program itself: flags, addresses, the control endpoint, and a clean end.

mod common;

use common::PATIENCE;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipstream-sim"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Ends the program whatever happens to the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn bad_flags_are_refused_with_what_would_be_right() {
    let output = program().args(["--sped", "max"]).output().expect("the program");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--speed"));
    let output = program().arg("--help").output().expect("the program");
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("--playback-binance")
    );
    let output = program().args(["--playback-binance", "/nowhere.gz"]).output().expect("the program");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere.gz"));
}

#[test]
fn it_tells_its_addresses_obeys_and_ends_cleanly() {
    let directory = std::env::temp_dir().join(format!("slipstream-sim-test-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let (ca, ready_file) = (directory.join("ca.pem"), directory.join("ready.json"));
    let mut command = program();
    command
        .args(["--seed", "42", "--rate", "50", "--scenario", "lying-venue", "--ca"])
        .arg(&ca)
        .arg("--ready-file")
        .arg(&ready_file);
    let mut running = Running(command.spawn().expect("the program"));
    let stdout = running.0.stdout.take().expect("its output");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&ready["seed"], &ready["scenario"]), (&42.into(), &"lying-venue".into()));
    assert_eq!(std::fs::read_to_string(&ready_file).expect("the file").trim(), line.trim());
    assert!(std::fs::read_to_string(&ca).expect("the CA").contains("BEGIN CERTIFICATE"));
    assert!(ready["hyperliquid"]["ws"].as_str().is_some_and(|url| url.starts_with("wss://localhost:")));

    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let control = ready["control"].as_str().expect("a control address");
    let ask = |method: &str, path: &str| {
        let url = format!("{control}{path}");
        let response = if method == "GET" { agent.get(&url).call() } else { agent.post(&url).send_empty() };
        let mut response = response.expect("an answer");
        let text = response.body_mut().read_to_string().expect("a body");
        (response.status().as_u16(), serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    assert_eq!(ask("GET", "/urls").1["binance"], ready["binance"]);
    assert_eq!(ask("POST", "/control/cut?venue=binance&route=public").0, 200);
    let (status, refused) = ask("POST", "/control/cut?venue=binance&how=gently");
    assert_eq!(status, 400);
    assert!(
        refused["error"]
            .as_str()
            .is_some_and(|text| text.contains("drop, close, reset, mid_frame, mid_record"))
    );
    assert_eq!(ask("POST", "/control/drop_trades?venue=binance&symbol=NOPE").0, 409);
    assert_eq!(ask("POST", "/control/cut").0, 400);
    assert_eq!(ask("GET", "/counters?venue=hyperliquid").1["connections_open"], 0);
    let (status, book) = ask("GET", "/truth/book?venue=binance&symbol=BTCUSDT");
    assert!(status == 200 && book["bids"].as_array().is_some_and(|bids| !bids.is_empty()));
    assert_eq!(ask("GET", "/truth/trades?venue=hyperliquid&symbol=BTC").0, 200);
    assert_eq!(ask("POST", "/playback/start?venue=binance").0, 409);

    let waiting = ask("GET", "/scenario").1;
    assert!(waiting["name"] == "lying-venue" && waiting["elapsed_ms"].is_null(), "nobody has subscribed");
    assert_eq!(ask("POST", "/scenario/stop").0, 200);
    assert_eq!(ask("POST", "/control/cut?venue=binance&rout=public").0, 400, "a mistyped key is refused");
    let (status, scenario) = ask("POST", "/scenario?name=day-cut&seed=9");
    assert_eq!(
        (status, scenario["name"].as_str(), scenario["seed"].as_u64()),
        (200, Some("day-cut"), Some(9))
    );
    assert_eq!(ask("POST", "/scenario?name=bad-day").0, 409, "one at a time");
    assert_eq!(ask("POST", "/scenario/stop").1["ended"], true);
    assert_eq!(ask("GET", "/scenario").1["name"], "day-cut");
    let (status, refused) = ask("POST", "/scenario?name=../../etc/passwd");
    assert!(status == 400 && refused["error"].as_str().is_some_and(|text| text.contains("bad-day, day-cut")));
    let own = "[[step]]\nat_s = 0\nvenue = \"binance\"\nfault = \"cut\"\nhow = \"gently\"";
    let mut answer = agent.post(format!("{control}/scenario")).send(own).expect("an answer");
    let text = answer.body_mut().read_to_string().expect("a body");
    assert!(answer.status() == 400 && text.contains("line 4: cut: how=gently"), "{text}");
    let own = own.replace("gently", "drop");
    let answer = agent.post(format!("{control}/scenario?name=mine")).send(own.as_str()).expect("an answer");
    assert_eq!(answer.status(), 200);

    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match running.0.try_wait().expect("its state") {
            Some(status) => break status,
            None if Instant::now() > deadline => panic!("it does not end"),
            None => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    };
    assert_eq!(status.code(), Some(0));
    drop(std::fs::remove_dir_all(&directory));
}
