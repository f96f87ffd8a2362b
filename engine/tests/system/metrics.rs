//! A page of metrics, read as strictly as the format is written: what Prometheus would merely overlook fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

/// One scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Type of each metric, by its name.
    pub types: BTreeMap<String, String>,
    /// Names of the labels of each metric, as first seen, without `le`.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Value of each series, by its text: `name{label="value",…}`.
    pub values: BTreeMap<String, f64>,
}

impl Metrics {
    /// Asks for the page and reads it.
    pub fn ask(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        Self::parse(body)
    }

    /// The value of a series, 0 where there is none.
    pub fn value(&self, series: &str) -> f64 {
        self.values.get(series).copied().unwrap_or(0.0)
    }

    /// The sum of the series of a metric that have all these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let meant = |series: &str| {
            let (of, rest) = series.split_once('{').unwrap_or((series, ""));
            of == name && labels.iter().all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
        };
        self.values.iter().filter(|(series, _)| meant(series)).map(|(_, value)| value).sum()
    }

    /// Reads a page.
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has its end");
        let mut metrics = Self::default();
        let mut helped: Option<&str> = None;
        let mut family: Option<(&str, &str)> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!help.trim().is_empty() && is_name(name), "{line}");
                assert!(helped.replace(name).is_none(), "two helps in a row: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(helped.take(), Some(name), "help comes before type: {line}");
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert_eq!(metrics.types.insert(name.into(), kind.into()), None, "once each: {line}");
                family = Some((name, kind));
            } else {
                let (name, kind) = family.filter(|_| helped.is_none()).expect("a type before its samples");
                metrics.sample(line, name, kind);
            }
        }
        for (name, _) in metrics.types.iter().filter(|(_, kind)| *kind == "histogram") {
            metrics.check_histogram(name);
        }
        metrics
    }

    fn sample(&mut self, line: &str, family: &str, kind: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels have their end")),
            None => (series, ""),
        };
        let suffix =
            name.strip_prefix(family).unwrap_or_else(|| panic!("a sample of another metric: {line}"));
        let allowed: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(allowed.contains(&suffix), "{line}");
        let names = label_names(labels);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a label twice: {line}");
        let names: Vec<_> = names.into_iter().filter(|name| *name != "le").map(str::to_owned).collect();
        let first = self.labels.entry(family.to_owned()).or_insert_with(|| names.clone());
        assert_eq!(*first, names, "all series of a metric have the same labels: {line}");
        let value: f64 = value.parse().unwrap();
        assert!(value.is_finite() && value >= 0.0, "{line}");
        assert_eq!(self.values.insert(series.to_owned(), value), None, "each series once: {line}");
    }

    fn check_histogram(&self, name: &str) {
        let prefix = format!("{name}_bucket{{le=\"");
        let bucket = |series: &str| Some(series.strip_prefix(&prefix)?.strip_suffix("\"}")?.to_owned());
        let mut buckets: Vec<(f64, f64)> = self
            .values
            .iter()
            .filter_map(|(series, &value)| {
                Some((bucket(series)?.replace("+Inf", "inf").parse().unwrap(), value))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "cumulative: {buckets:?}");
        let last = buckets.last().unwrap();
        assert!(last.0.is_infinite());
        assert_eq!(last.1, self.values[&format!("{name}_count")]);
        assert!(self.values.contains_key(&format!("{name}_sum")));
    }
}

fn is_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(first) && name.bytes().all(|byte| first(byte) || byte.is_ascii_digit())
}

/// The names in `a="…",b="…"`; every value is quoted and escaped as it should be.
fn label_names(mut labels: &str) -> Vec<&str> {
    let mut names = Vec::new();
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").expect("a label's value");
        assert!(is_name(name), "{name}");
        names.push(name);
        let mut escaped = false;
        let end = rest.find(|character| {
            let ends = character == '"' && !escaped;
            assert!(!escaped || matches!(character, '\\' | '"' | 'n'), "an escape nobody knows: {rest}");
            escaped = character == '\\' && !escaped;
            ends
        });
        let after = &rest[end.expect("the end of a value") + 1..];
        labels = match after.strip_prefix(',') {
            Some(more) => {
                assert!(!more.is_empty(), "a comma with nothing after it");
                more
            }
            None => {
                assert!(after.is_empty(), "{after}");
                after
            }
        };
    }
    names
}
