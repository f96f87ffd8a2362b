//! Every refusal, every warning, every default, and that what `--check` prints reads back.

use super::*;
use codec::words::{Interval, Stream};

fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_with(text, &[])
}

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = environment.iter().map(|&(name, value)| (name.into(), value.into()));
    Config::parse(text, "test.toml", environment.collect::<Vec<_>>())
}

fn refusal(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn nothing_written_means_the_documented_defaults() {
    let config = parse("[venues.binance]\n[venues.hyperliquid]\n[recorder]\n[shm]").unwrap();
    assert_eq!(config.daemon, DaemonConfig::default());
    assert_eq!(config.recorder, Some(RecorderConfig::default()));
    let [hyperliquid, binance] = &config.venues[..] else { panic!("two venues") };
    assert_eq!(hyperliquid, &VenueConfig::defaults(Venue::Hyperliquid));
    assert_eq!(binance.websocket_url, "wss://fstream.binance.com");
    assert_eq!(binance.symbols, Symbols::List(vec!["BTCUSDT".into(), "ETHUSDT".into()]));
    assert_eq!(binance.rate_limits.rest_weight_per_minute, 1800);
    assert!(config.warnings.is_empty());
    let empty = parse("").unwrap();
    assert!(empty.venues.is_empty() && empty.recorder.is_none() && empty.shm.is_none());
    assert_eq!(empty.warnings, ["test.toml: no venue is enabled: there is nothing to serve"]);
}

#[test]
fn every_refusal_names_file_key_value_and_what_is_right() {
    for (text, message) in [
        ("[deamon]", "test.toml: unknown key deamon (did you mean daemon?)"),
        ("[venues.binanse]", "test.toml: unknown key venues.binanse (did you mean venues.binance?)"),
        (
            "[venues.binance]\nsymbol = []",
            "test.toml: unknown key venues.binance.symbol (did you mean venues.binance.symbols?)",
        ),
        ("[shm]\nzzzzzzzz = 1", "test.toml: unknown key shm.zzzzzzzz (known here: enabled, path, ring_mib)"),
        (
            "\"\" = 1",
            "test.toml: unknown key \"\" (known here: daemon, health, recorder, retention, shm, threads, venues)",
        ),
        (
            "[shm]\n\"a b\\nzzzzzzz\" = 1",
            "test.toml: unknown key shm.\"a b\\nzzzzzzz\" (known here: enabled, path, ring_mib)",
        ),
        (
            "[daemon]\nmax_clients = 0",
            "test.toml: daemon.max_clients = 0: must be a whole number from 1 to 65536",
        ),
        (
            "[daemon]\nmax_clients = \"many\"",
            "test.toml: daemon.max_clients = \"many\": must be a whole number from 1 to 65536",
        ),
        (
            "[daemon]\nsocket_mode = \"0999\"",
            "test.toml: daemon.socket_mode = \"0999\": must be permission bits in octal and in quotes, such as \"0660\"",
        ),
        (
            "[daemon]\nlog_level = \"loud\"",
            "test.toml: daemon.log_level = \"loud\": must be one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ),
        (
            "[daemon]\nallow_uids = [-1]",
            "test.toml: daemon.allow_uids = [-1]: must be a list of numeric ids such as [1000]",
        ),
        ("[daemon]\nlog_path = 3", "test.toml: daemon.log_path = 3: must be the path of a file"),
        ("daemon = 1", "test.toml: daemon = 1: must be a table, written [daemon]"),
        (
            "[threads]\nengine_wait = \"park\"",
            "test.toml: threads.engine_wait = \"park\": must be one of \"spin\", \"poll\", \"auto\"",
        ),
        (
            "[threads]\nengine_wait = \"spin\"",
            "test.toml: threads.engine_wait = \"spin\": must be \"poll\" or \"auto\", or engine_core set: it spins only on a core of its own",
        ),
        (
            "[retention]\ncandles_path = 7",
            "test.toml: retention.candles_path = 7: must be the path of a directory, or \"\" for none",
        ),
        (
            "[retention]\norderbook_depth = 400\nbook_levels_max = 300",
            "test.toml: retention.orderbook_depth = 400: must be at most book_levels_max, which is 300",
        ),
        (
            "[venues.binance]\nenabled = \"yes\"",
            "test.toml: venues.binance.enabled = \"yes\": must be true or false",
        ),
        (
            "[venues.binance]\nwebsocket_url = \"https://a\"",
            "test.toml: venues.binance.websocket_url = \"https://a\": must be a URL beginning with wss:// or ws://",
        ),
        (
            "[venues.binance]\nrest_url = \"https://a:b\"",
            "test.toml: venues.binance.rest_url = \"https://a:b\": must be a URL beginning with https:// or http://: its port is not a number from 1 to 65535",
        ),
        (
            "[venues.binance]\nsymbols = \"BTCUSDT\"",
            "test.toml: venues.binance.symbols = \"BTCUSDT\": must be \"all\" or a list of symbols such as [\"BTC\"]",
        ),
        (
            "[venues.binance]\nsymbols = [\"BTC USDT\"]",
            "test.toml: venues.binance.symbols = \"BTC USDT\": must be the venue's own name: 1 to 48 bytes without white space or quotes",
        ),
        (
            "[venues.binance]\nchannels = [\"trade\"]",
            "test.toml: venues.binance.channels = \"trade\": must be one of orderbook, quotes, trades, candles, funding (did you mean trades?)",
        ),
        (
            "[venues.hyperliquid]\nintervals = [\"6h\"]",
            "test.toml: venues.hyperliquid.intervals = \"6h\": must be one that hyperliquid has: 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 8h, 12h, 1d, 3d, 1w, 1M",
        ),
        (
            "[venues.binance]\nbook = \"both\"",
            "test.toml: unknown key venues.binance.book (known here: channels, enabled, intervals, max_reconnect_delay_ms, rate_limits, reconnect_delay_ms, rest_url, stale_after_ms, symbols, tls_ca_file, websocket_url)",
        ),
        (
            "[venues.hyperliquid]\naccount_address = \"0x12\"",
            "test.toml: venues.hyperliquid.account_address = \"0x12\": must be 0x and 40 hexadecimal digits, in quotes",
        ),
        (
            "[venues.binance]\nreconnect_delay_ms = 5000\nmax_reconnect_delay_ms = 1000",
            "test.toml: venues.binance.max_reconnect_delay_ms = 1000: must be at least reconnect_delay_ms, which is 5000",
        ),
        (
            "[venues.binance.rate_limits]\nmax_subscriptions = 0",
            "test.toml: venues.binance.rate_limits.max_subscriptions = 0: must be a whole number from 1 to 100000",
        ),
        (
            "[recorder.symbols]\nbinance = \"BTC\"",
            "test.toml: recorder.symbols.binance = \"BTC\": must be \"all\" or a list of symbols such as [\"BTC\"]",
        ),
        (
            "[health]\nbind = \"everywhere\"",
            "test.toml: health.bind = \"everywhere\": must be an IP address such as \"127.0.0.1\"",
        ),
    ] {
        assert_eq!(refusal(text), message);
    }
    let path = "x".repeat(108);
    assert!(refusal(&format!("[daemon]\nsocket_path = \"{path}\"")).contains("at most 107 bytes long"));
    assert!(refusal("[threads]\nengine_core = 1023").contains("a core this process may run on: 0"));
    assert!(refusal("[daemon").starts_with("test.toml: not valid TOML: "));
    let refused = refusal("[venues.binance]\ntls_ca_file = \"/nonexistent/ca.pem\"");
    assert!(refused.contains("/nonexistent/ca.pem") && refused.contains("No such file"), "{refused}");
    let missing = Config::load(Path::new("/nonexistent/mktdata.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("/nonexistent/mktdata.toml: cannot read the configuration: No such file"));
}

#[test]
fn what_is_unwise_is_a_warning() {
    let config = parse(
        "[venues.binance]\nwebsocket_url = \"ws://10.0.0.1/ws\"\nrest_url = \"http://127.0.0.1:80/\"\n\
         symbols = [\"A\", \"A\"]\nchannels = [\"fills\"]\n[venues.binance.rate_limits]\nmax_subscriptions = 2000",
    )
    .unwrap();
    assert_eq!(
        config.warnings,
        [
            "venues.binance.websocket_url = \"ws://10.0.0.1/ws\" is not encrypted: anybody on the way can read and change the data",
            "venues.binance.websocket_url = \"ws://10.0.0.1/ws\": /ws is stripped, since /public and /market are appended",
            "venues.binance.symbols: A is named twice",
            "venues.binance.channels: fills need no channel; they come with account_address",
            "venues.binance.rate_limits.max_subscriptions = 2000 is more than the 1024 that binance is known to allow",
            "venues.binance.channels is empty: nothing of it is subscribed",
        ]
    );
    assert_eq!(config.venues[0].websocket_url, "ws://10.0.0.1");
    assert_eq!(config.venues[0].rest_url, "http://127.0.0.1:80");
    let config = parse("[venues.binance]\nwebsocket_url = \"wss://a/x/stream/\"").unwrap();
    assert_eq!(config.venues[0].websocket_url, "wss://a/x");
    // Hyperliquid's path is its own.
    let config = parse("[venues.hyperliquid]\nwebsocket_url = \"wss://a/ws\"").unwrap();
    assert_eq!(config.venues[0].websocket_url, "wss://a/ws");
    assert!(config.warnings.is_empty());
}

#[test]
fn candles_are_stored_unless_the_path_is_empty() {
    let path = |text: &str, environment: &[(&str, &str)]| {
        parse_with(text, environment).unwrap().retention.candles_path
    };
    let default = Some(PathBuf::from("/var/lib/slipstream/candles"));
    assert_eq!(path("", &[]), default);
    assert_eq!(path("[retention]\ntrades_per_symbol = 1", &[]), default);
    assert_eq!(path("[retention]\ncandles_path = \"/x y\"", &[]), Some("/x y".into()));
    assert_eq!(path("[retention]\ncandles_path = \"\"", &[]), None);
    let name = "SLIPSTREAM_RETENTION__CANDLES_PATH";
    assert_eq!(path("", &[(name, "")]), None);
    assert_eq!(path("", &[(name, "/env")]), Some("/env".into()));
    assert_eq!(path("", &[(name, "7")]), Some("7".into()));
}

#[test]
fn all_or_a_list_in_the_venues_order() {
    let config = parse(
        "[venues.hyperliquid]\nsymbols = \"all\"\nchannels = \"all\"\nintervals = \"all\"\n\
         [venues.binance]\nchannels = [\"trades\", \"orderbook\", \"trades\"]\nintervals = [\"1M\", \"6h\", \"1m\"]",
    )
    .unwrap();
    let [hyperliquid, binance] = &config.venues[..] else { panic!("two venues") };
    assert_eq!(hyperliquid.symbols, Symbols::All);
    assert_eq!(hyperliquid.channels.len(), 5);
    assert_eq!(hyperliquid.intervals.len(), 14);
    assert_eq!(binance.channels, [Stream::Orderbook, Stream::Trades]);
    assert_eq!(binance.intervals, [Interval::M1, Interval::H6, Interval::Month1]);
}

#[test]
fn the_environment_overrides_as_toml_else_as_a_string() {
    let text = "[venues.binance]\nrest_url = \"https://file\"\n[daemon]\nmax_clients = 5";
    let config = parse_with(
        text,
        &[
            ("SLIPSTREAM_VENUES__BINANCE__REST_URL", "https://env:1"),
            ("SLIPSTREAM_VENUES__BINANCE__SYMBOLS", "[\"XRPUSDT\"]"),
            ("SLIPSTREAM_VENUES__BINANCE__RATE_LIMITS__MAX_SUBSCRIPTIONS", "7"),
            ("SLIPSTREAM_DAEMON__SOCKET_MODE", "600"),
            ("SLIPSTREAM_DAEMON__LOG_PATH", "1\nx = 2"),
            ("SLIPSTREAM_SOCKET", "/not/ours"),
            ("OTHER__THING", "1"),
        ],
    )
    .unwrap();
    assert_eq!(config.venues[0].rest_url, "https://env:1");
    assert_eq!(config.venues[0].symbols, Symbols::List(vec!["XRPUSDT".into()]));
    assert_eq!(config.venues[0].rate_limits.max_subscriptions, 7);
    assert_eq!(config.daemon.socket_mode, 0o600);
    assert_eq!(config.daemon.log_path, Some("1\nx = 2".into()));
    assert_eq!(config.daemon.max_clients, 5);

    let refused = |name: &str, value: &str| parse_with(text, &[(name, value)]).unwrap_err().to_string();
    assert_eq!(
        refused("SLIPSTREAM_DAEMON__MAX_CLIENT", "5"),
        "environment variable SLIPSTREAM_DAEMON__MAX_CLIENT: unknown key daemon.max_client (did you mean daemon.max_clients?)"
    );
    assert_eq!(
        refused("SLIPSTREAM_DAEMON__MAX_CLIENTS", "none"),
        "environment variable SLIPSTREAM_DAEMON__MAX_CLIENTS: daemon.max_clients = \"none\": must be a whole number from 1 to 65536"
    );
    assert!(refused("SLIPSTREAM_DEMON__X", "5").contains("unknown key demon (did you mean daemon?)"));
    assert!(refused("SLIPSTREAM_DAEMON__MAX_CLIENTS__X", "5").contains("daemon.max_clients is not a table"));
    assert!(refused("SLIPSTREAM_DAEMON__", "5").contains("a part of the key's path is empty"));
}

#[test]
fn what_check_prints_reads_back() {
    let everything = "
        [daemon]
        socket_path = \"/tmp/a \\\"b\\\".sock\"
        socket_mode = \"0600\"
        log_level = \"debug\"
        log_path = \"/tmp/log\"
        allow_uids = [0, 1000]
        allow_gids = []
        [threads]
        engine_core = 0
        wait = \"yield\"
        engine_wait = \"poll\"
        [retention]
        trades_per_symbol = 7
        candles_path = \"/tmp/candles of mine\"
        [venues.hyperliquid]
        enabled = false
        symbols = \"all\"
        intervals = \"all\"
        book = \"fast\"
        account_address = \"0x00000000000000000000000000000000000000aB\"
        stale_after_ms = 1500
        [venues.binance]
        tls_ca_file = \"/dev/null\"
        [recorder]
        enabled = false
        symbols = { binance = [\"币安人生USDT\"], hyperliquid = \"all\" }
        channels = [\"trades\"]
        [shm]
        ring_mib = 8
        [health]
        bind = \"::1\"
    ";
    let off = "[retention]\ncandles_path = \"\"";
    for text in ["", "[venues.binance]", off, everything] {
        let config = parse(text).unwrap();
        let printed = config.to_toml();
        let again = parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        assert_eq!(Config { warnings: Vec::new(), ..again }, Config { warnings: Vec::new(), ..config });
    }
}

/// The sample shows every default as it is in the code.
#[test]
fn the_sample_shows_the_defaults() {
    let sample = include_str!("../../../config/mktdata.toml");
    let mut config = Config::parse(sample, "mktdata.toml", Vec::new()).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let recorder = config.recorder.as_mut().expect("the sample has a recorder section");
    let shm = config.shm.as_mut().expect("the sample has a shm section");
    // Present, but off: they come in a later version.
    assert!(!recorder.enabled && !shm.enabled);
    (recorder.enabled, shm.enabled) = (true, true);
    let defaults = parse("[venues.binance]\n[venues.hyperliquid]\n[recorder]\n[shm]").unwrap();
    assert_eq!(config, defaults);
    // Every key is shown: what --check prints for it is in the sample too.
    for line in config.to_toml().lines().filter(|line| line.contains(" = ")) {
        let key = line.split(" = ").next().unwrap();
        assert!(sample.lines().any(|shown| shown.starts_with(&format!("{key} = "))), "{key}");
    }
    // The keys without a default are shown as comments that mean something.
    let shown: String = sample
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") && !key.starts_with("tls_ca_file") => key,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let config = parse(&shown).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    assert!(config.venues[0].account_address.is_some() && config.daemon.allow_uids.is_some());
}
