//! Fuzz targets: configuration, environment overrides and URLs, as operators may write them.

#[path = "../../codec/tests/support/fuzz.rs"]
mod fuzz;

use engine::config::{Config, ConfigError};
use engine::url::Url;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

const FILE: &str = "fuzz.toml";
const SAMPLE: &str = include_str!("../../config/mktdata.toml");
const LOCAL: &str = include_str!("../../config/local.toml");

/// A refusal says where and what; what is accepted prints as what reads back the same.
fn judge(answer: Result<Config, ConfigError>) {
    let mut config = match answer {
        Ok(config) => config,
        Err(error) => {
            let text = error.to_string();
            let (place, key) = match &error {
                ConfigError::Read { .. } => panic!("nothing was read: {text}"),
                ConfigError::Syntax { file, .. } => (file.clone(), ""),
                ConfigError::UnknownKey { origin, key, .. } | ConfigError::Value { origin, key, .. } => {
                    assert!(!key.is_empty(), "{text}");
                    (origin.clone(), key.as_str())
                }
                ConfigError::Override { name, .. } => (name.clone(), ""),
            };
            assert!(place == FILE || place.contains("SLIPSTREAM_"), "{text}");
            assert!(text.contains(&place) && text.contains(key), "{text}");
            return;
        }
    };
    let printed = config.to_toml();
    let again = Config::parse(&printed, FILE, []);
    let mut again =
        again.unwrap_or_else(|error| panic!("what --check prints is refused: {error}\n{printed}"));
    config.warnings.clear();
    again.warnings.clear();
    assert_eq!(again, config, "{printed}");
}

/// Any text as a configuration file.
#[test]
fn fuzz_configuration() {
    let mut inputs = fuzz::inputs(include_str!("corpus/configuration.txt"));
    inputs.extend([SAMPLE.as_bytes().to_vec(), LOCAL.as_bytes().to_vec()]);
    fuzz::run(&inputs, 8_000, |input| {
        // Files that are not UTF-8 are refused when they are read.
        if let Ok(text) = std::str::from_utf8(input) {
            judge(Config::parse(text, FILE, []));
        }
    });
}

/// Any environment, `NAME=value` a line, over the sample configuration and over none.
#[test]
fn fuzz_overrides() {
    fuzz::run(&fuzz::inputs(include_str!("corpus/overrides.txt")), 3_000, |input| {
        let variables: Vec<(OsString, OsString)> = input
            .split(|&byte| byte == b'\n')
            .filter_map(|line| {
                let at = line.iter().position(|&byte| byte == b'=')?;
                let text = |bytes| OsStr::from_bytes(bytes).to_owned();
                Some((text(&line[..at]), text(&line[at + 1..])))
            })
            .collect();
        for text in [SAMPLE, ""] {
            judge(Config::parse(text, FILE, variables.clone()));
        }
    });
}

/// Any text as a URL: what is accepted is written the one way that reads back the same, and nothing in it ends a line
/// of a request.
#[test]
fn fuzz_urls() {
    fuzz::run(&fuzz::inputs(include_str!("corpus/urls.txt")), 30_000, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(url) = Url::parse(text) else { return };
        let written = format!("{}://{}{}", url.scheme, url.authority(), url.path);
        assert_eq!(Url::parse(&written), Ok(url.clone()), "{written}");
        assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{written:?}");
        assert!(!url.host.is_empty() && url.port > 0 && url.path.starts_with('/'), "{written}");
        assert_eq!(url.is_encrypted(), matches!(url.scheme, "wss" | "https"));
        let _ = url.is_loopback();
    });
}
