use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use ferrio::{Config, Cookie, Cors, Origin, Parser, PerMessageDeflate, Recovery, Transports, WindowBits};

use super::{
    ErrorKind,
    Language::{Node, Python},
    OptionError, Value, document, entries,
    entry::Form,
    read, spelling,
};

fn given(name: &str, value: Value) -> Vec<(String, Value)> {
    vec![(name.to_owned(), value)]
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn nested(group: &str, name: &str, value: Value) -> Vec<(String, Value)> {
    given(group, Value::Map(given(name, value)))
}

fn message(result: Result<Config, OptionError>) -> String {
    result.expect_err("it is not accepted").to_string()
}

#[test]
fn option_names_are_those_of_javascript() {
    assert_eq!(spelling(Node, "max_http_buffer_size"), "maxHttpBufferSize");
    assert_eq!(spelling(Node, "limits.max_depth"), "limits.maxDepth");
    assert_eq!(spelling(Node, "recovery.max_packets"), "connectionStateRecovery.maxPackets");
}

#[test]
fn no_two_options_have_the_same_name() {
    for language in [Node, Python] {
        let mut names = BTreeSet::new();
        for name in entries().filter_map(|entry| entry.spelling(language)) {
            assert!(names.insert(name), "{name} stands twice");
            let group = name.rsplit_once('.').map(|(group, _)| group);
            assert!(group.is_none_or(|group| names.contains(group)), "{name} stands before its group");
        }
    }
}

#[test]
fn every_field_of_the_core_is_an_option() {
    // What the bindings decide by themselves, or what an option has in another form.
    let others = [
        "answers_like_engine_io",
        "ask_namespace",
        "attributes",
        "enforce",
        "engine",
        "ping_grace",
        "polling",
        "unknown_namespace",
        "websocket",
    ];
    let config = Config {
        engine: ferrio_engine::Config {
            cors: Some(Cors::default()),
            cookie: Some(Cookie::default()),
            per_message_deflate: Some(PerMessageDeflate::default()),
            ..Config::default().engine
        },
        recovery: Some(Recovery::default()),
        ..Config::default()
    };
    let printed = format!("{config:#?}");
    let fields: BTreeSet<_> =
        printed.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    let options: BTreeSet<_> = entries().filter_map(|entry| entry.name.rsplit('.').next()).collect();
    let missing: Vec<_> = fields.difference(&options).collect();
    assert_eq!(missing, others.iter().collect::<Vec<_>>());
}

#[test]
fn the_bounds_are_those_of_the_core() {
    for entry in entries() {
        let check = |change: &dyn Fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().map_err(|error| error.option())
        };
        match entry.form {
            // The threshold has none, and belongs to no other check.
            Form::Size { field, low, high, .. } if entry.name != "http_compression.threshold" => {
                assert_eq!(check(&|config| *field(config) = low), Ok(()), "{}", entry.name);
                assert_eq!(check(&|config| *field(config) = high), Ok(()), "{}", entry.name);
                if low > 0 {
                    assert_eq!(check(&|config| *field(config) = low - 1), Err(entry.name));
                }
                if high < usize::MAX {
                    assert_eq!(check(&|config| *field(config) = high + 1), Err(entry.name));
                }
            }
            Form::Time { field, low, high } => {
                let nanosecond = Duration::from_nanos(1);
                assert_eq!(check(&|config| *field(config) = low), Ok(()), "{}", entry.name);
                assert_eq!(check(&|config| *field(config) = high), Ok(()), "{}", entry.name);
                assert_eq!(check(&|config| *field(config) = high + nanosecond), Err(entry.name));
                if let Some(below) = low.checked_sub(nanosecond) {
                    assert_eq!(check(&|config| *field(config) = below), Err(entry.name));
                }
            }
            _ => {}
        }
    }
}

#[test]
fn compression_of_messages_has_the_forms_of_ws() {
    let read_deflate = |language, value| {
        let name = spelling(language, "per_message_deflate");
        read(language, &given(name, value)).expect("it is accepted").engine.per_message_deflate
    };
    let usual = PerMessageDeflate::default();
    for language in [Node, Python] {
        assert_eq!(read(language, &[]).unwrap().engine.per_message_deflate, None);
        for (value, expected) in [
            (Value::Flag(true), Some(usual)),
            (Value::Map(Vec::new()), Some(usual)),
            (Value::Flag(false), None),
            (Value::Null, None),
        ] {
            assert_eq!(read_deflate(language, value), expected);
        }
    }
    let flag = |name: &str, flag| (name.to_owned(), Value::Flag(flag));
    let whole = |name: &str, number| (name.to_owned(), Value::Whole(number));
    let other = |name: &str| (name.to_owned(), Value::Map(vec![whole("memLevel", 7)]));
    let node = vec![
        whole("threshold", 0),
        flag("serverNoContextTakeover", false),
        flag("clientNoContextTakeover", true),
        whole("serverMaxWindowBits", 8),
        flag("clientMaxWindowBits", false),
        (
            "zlibDeflateOptions".to_owned(),
            Value::Map(vec![whole("level", 1), whole("chunkSize", 1), whole("windowBits", 3)]),
        ),
        other("zlibInflateOptions"),
        whole("concurrencyLimit", 3),
        whole("maxMemory", 1000),
    ];
    let all = PerMessageDeflate {
        threshold: 0,
        server_no_context_takeover: Some(false),
        client_no_context_takeover: true,
        server_max_window_bits: WindowBits::Exactly(8),
        client_max_window_bits: WindowBits::Full,
        level: 1,
        max_memory: 1000,
    };
    assert_eq!(read_deflate(Node, Value::Map(node)), Some(all));
    let python = vec![
        whole("threshold", 0),
        flag("server_no_context_takeover", false),
        flag("client_no_context_takeover", true),
        whole("server_max_window_bits", 8),
        flag("client_max_window_bits", false),
        whole("level", 1),
        whole("max_memory", 1000),
    ];
    assert_eq!(read_deflate(Python, Value::Map(python)), Some(all));

    let refused =
        |value: (String, Value)| message(read(Node, &given("perMessageDeflate", Value::Map(vec![value]))));
    assert_eq!(
        refused(whole("serverMaxWindowBits", 7)),
        "option `perMessageDeflate.serverMaxWindowBits` must be a whole number from 8 to 15, or a boolean, not 7"
    );
    assert_eq!(
        refused(("zlibDeflateOptions".to_owned(), Value::Map(vec![whole("level", 10)]))),
        "option `perMessageDeflate.zlibDeflateOptions.level` must be a whole number from -1 to 9, not 10"
    );
    assert_eq!(
        refused(whole("threshold", -1)),
        "option `perMessageDeflate.threshold` must be a whole number of bytes, at least 0, not -1"
    );
    assert_eq!(
        message(read(Python, &nested("per_message_deflate", "mem_level", Value::Whole(8)))),
        "there is no option `per_message_deflate.mem_level`"
    );
}

/// A default that is written as it would be in code.
fn literal(default: &str) -> Option<Value> {
    match default.trim_matches('`') {
        "None" => Some(Value::Null),
        "true" | "True" => Some(Value::Flag(true)),
        "false" | "False" => Some(Value::Flag(false)),
        number if number.parse::<i128>().is_ok() => number.parse().ok().map(Value::Whole),
        words => default.starts_with('`').then(|| text(words)),
    }
}

#[test]
fn to_give_an_option_its_default_is_to_give_nothing() {
    // The package finds out the name of the parser.
    let specials = entries().filter(|entry| entry.spelling(Node) != Some("parser"));
    for (entry, language) in specials.flat_map(|entry| [(entry, Node), (entry, Python)]) {
        let Form::Special { default, set, .. } = entry.form else { continue };
        let (Some(_), Some(value)) = (entry.spelling(language), literal(default)) else { continue };
        let mut config = language.defaults();
        config.engine.cors.get_or_insert_default();
        let before = format!("{config:?}");
        set(&mut config, &value).expect("the default is accepted");
        assert_eq!(format!("{config:?}"), before, "{}", entry.name);
    }
}

#[test]
fn a_bad_value_is_refused_in_the_words_of_the_language() {
    assert_eq!(
        message(read(Node, &given("pingInterval", Value::Whole(0)))),
        "option `pingInterval` must be a number of milliseconds from 1 to 86400000, not 0"
    );
    assert_eq!(
        message(read(Python, &given("ping_timeout", Value::Flag(true)))),
        "option `ping_timeout` must be a number of seconds from 0.001 to 86400, not True"
    );
    assert_eq!(
        message(read(Node, &nested("limits", "maxDepth", text("x")))),
        "option `limits.maxDepth` must be a whole number from 1 to 100000, not \"x\""
    );
    assert_eq!(
        message(read(Python, &nested("outbox", "max_bytes", Value::Whole(-1)))),
        "option `outbox.max_bytes` must be a whole number of bytes, at least 1024, not -1"
    );
    assert_eq!(
        message(read(Node, &given("allowUpgrades", Value::Null))),
        "option `allowUpgrades` must be true or false, not null"
    );
    assert_eq!(
        message(read(Node, &given("transports", Value::List(vec![text("polling"), text("smoke")])))),
        "option `transports` must be a list of `polling` and `websocket`, not \"smoke\""
    );
    assert_eq!(
        message(read(Node, &nested("cookie", "sameSite", text("perhaps")))),
        "option `cookie.sameSite` must be `lax`, `strict`, `none`, true or false, not \"perhaps\""
    );
    // What only the core checks.
    assert_eq!(
        message(read(Python, &given("cors_allowed_origins", text("a\nb")))),
        "option `cors_allowed_origins` must be text that an HTTP header can hold, not \"a\\nb\""
    );
}

#[test]
fn the_kind_of_a_mistake_is_told() {
    let kind = |result: Result<_, OptionError>| result.map(|_: Config| ()).expect_err("bad").kind();
    assert_eq!(kind(read(Python, &given("ping_interval", text("1")))), ErrorKind::Type);
    assert_eq!(kind(read(Python, &given("ping_interval", Value::Number(f64::NAN)))), ErrorKind::Value);
    assert_eq!(kind(read(Python, &given("max_http_buffer_size", Value::Number(1.0)))), ErrorKind::Type);
    assert_eq!(kind(read(Python, &given("max_http_buffer_size", Value::Whole(1 << 40)))), ErrorKind::Value);
    assert_eq!(kind(read(Python, &given("serializer", text("pickle")))), ErrorKind::Value);
    assert_eq!(kind(read(Python, &given("ping_intervall", Value::Null))), ErrorKind::Unknown);
}

#[test]
fn unknown_options_are_refused_where_no_socketio_application_has_any() {
    assert_eq!(
        message(read(Python, &given("pingInterval", Value::Null))),
        "there is no option `pingInterval`"
    );
    assert_eq!(
        message(read(Node, &nested("limits", "maxDept", Value::Whole(1)))),
        "there is no option `limits.maxDept`"
    );
    assert!(read(Node, &given("wsEngine", Value::Other("ws".to_owned()))).is_ok());
}

#[test]
fn options_that_can_be_off_are_turned_on_by_true_or_by_what_they_consist_of() {
    let recovery = |value| read(Node, &given("connectionStateRecovery", value)).map(|config| config.recovery);
    assert_eq!(recovery(Value::Null), Ok(None));
    assert_eq!(recovery(Value::Flag(false)), Ok(None));
    assert_eq!(recovery(Value::Flag(true)), Ok(Some(Recovery::default())));
    let fewer = Recovery { max_packets: 5, ..Recovery::default() };
    assert_eq!(recovery(Value::Map(given("maxPackets", Value::Whole(5)))), Ok(Some(fewer)));
    assert!(recovery(Value::Whole(1)).is_err());
}

#[test]
fn compression_is_a_switch_and_a_threshold() {
    let of = |language, given: &[_]| read(language, given).map(|config| config.engine.http_compression);
    assert_eq!(of(Node, &[]), Ok(Some(1024)));
    assert_eq!(of(Node, &given("httpCompression", Value::Flag(false))), Ok(None));
    assert_eq!(of(Node, &given("httpCompression", Value::Flag(true))), Ok(Some(1024)));
    assert_eq!(of(Node, &nested("httpCompression", "threshold", Value::Whole(7))), Ok(Some(7)));
    assert_eq!(of(Python, &given("compression_threshold", Value::Whole(7))), Ok(Some(7)));
    let mut both = given("http_compression", Value::Flag(false));
    both.extend(given("compression_threshold", Value::Whole(7)));
    assert_eq!(of(Python, &both), Ok(None));
}

#[test]
fn a_pair_of_python_adds_its_second_number_to_the_timeout() {
    let mut options = given("ping_interval", Value::List(vec![Value::Whole(10), Value::Number(0.5)]));
    options.extend(given("ping_timeout", Value::Whole(3)));
    let config = read(Python, &options).expect("a pair");
    assert_eq!(config.engine.ping_interval, Duration::from_secs(10));
    assert_eq!(config.engine.ping_timeout, Duration::from_millis(3500));
}

#[test]
fn origins_are_those_of_each_language() {
    let origin = |language, name: &str, value| {
        read(language, &if language == Node { nested("cors", name, value) } else { given(name, value) })
            .map(|config| config.engine.cors.map(|cors| cors.origin))
    };
    let node = |value| origin(Node, "origin", value);
    assert!(matches!(node(Value::Flag(true)), Ok(Some(Origin::Reflect))));
    assert!(matches!(node(Value::Flag(false)), Ok(Some(Origin::None))));
    assert!(matches!(node(text("*")), Ok(Some(Origin::Any))));
    assert!(matches!(node(text("http://a")), Ok(Some(Origin::Fixed(one))) if one == "http://a"));
    assert!(matches!(node(Value::Function), Ok(Some(Origin::Ask))));
    assert!(matches!(node(Value::List(vec![text("a"), Value::Function])), Ok(Some(Origin::Ask))));
    let listed =
        |origin: &Origin| matches!(origin, Origin::List(list) if matches!(&list[..], [one] if one == "a"));
    assert!(node(Value::List(vec![text("a")])).is_ok_and(|origin| origin.as_ref().is_some_and(listed)));
    assert!(node(Value::List(vec![Value::Function, Value::Other("x".to_owned())])).is_err());

    let python = |value| origin(Python, "cors_allowed_origins", value);
    assert!(matches!(python(Value::Null), Ok(Some(Origin::SameHost))));
    assert!(matches!(python(text("*")), Ok(Some(Origin::Reflect))));
    assert!(matches!(python(Value::List(vec![text("a"), text("*")])), Ok(Some(Origin::Reflect))));
    assert!(python(text("a")).is_ok_and(|origin| origin.as_ref().is_some_and(listed)));
    assert!(matches!(python(Value::Function), Ok(Some(Origin::Ask))));
    assert!(matches!(python(Value::List(Vec::new())), Ok(None)));
    let strict = read(Python, &given("cors_credentials", Value::Flag(false))).expect("a flag").engine.cors;
    assert!(strict.is_some_and(|cors| cors.enforce && !cors.credentials));
}

#[test]
fn cookies_have_the_attributes_of_each_language() {
    let cookie = |language, value| {
        let config = read(language, &given("cookie", value)).expect("a cookie");
        config
            .engine
            .cookie
            .map(|cookie| format!("{}: {}", cookie.name, cookie.attributes))
            .unwrap_or_default()
    };
    let map = |fields: &[(&str, Value)]| {
        Value::Map(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    assert_eq!(cookie(Node, Value::Flag(false)), "");
    assert_eq!(cookie(Node, Value::Flag(true)), "io: Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(
        cookie(Node, map(&[("path", Value::Flag(false)), ("name", text("a"))])),
        "a: HttpOnly; SameSite=Lax"
    );
    let all = [
        ("maxAge", Value::Number(10.5)),
        ("domain", text("x.org")),
        ("expires", text("then")),
        ("httpOnly", Value::Flag(false)),
        ("secure", Value::Flag(true)),
        ("sameSite", Value::Flag(true)),
    ];
    assert_eq!(
        cookie(Node, map(&all)),
        "io: Max-Age=10; Domain=x.org; Path=/; Expires=then; Secure; SameSite=Strict"
    );
    assert_eq!(cookie(Python, Value::Null), "");
    assert_eq!(cookie(Python, text("sid")), "sid: path=/; SameSite=Lax");
    let own = [
        ("HttpOnly", Value::Flag(true)),
        ("name", text("a")),
        ("Secure", Value::Flag(false)),
        ("max-age", Value::Whole(9)),
    ];
    assert_eq!(cookie(Python, map(&own)), "a: HttpOnly; max-age=9");
}

#[test]
fn packets_and_transports_are_chosen_by_name() {
    let names = |names: &[&str]| Value::List(names.iter().map(|name| text(name)).collect());
    let only = |result: Result<Config, _>| result.map(|config| config.engine.transports);
    let polling = Transports { polling: true, websocket: false };
    assert_eq!(only(read(Node, &given("transports", names(&["polling", "webtransport"])))), Ok(polling));
    assert_eq!(only(read(Python, &given("transports", text("polling")))), Ok(polling));
    assert!(read(Python, &given("transports", names(&["webtransport"]))).is_err());
    assert!(read(Node, &given("transports", names(&[]))).is_err());
    let msgpack = read(Python, &given("serializer", text("msgpack"))).map(|config| config.parser);
    assert_eq!(msgpack, Ok(Parser::Msgpack));
}

#[test]
fn the_page_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/OPTIONS.md");
    let page = document::page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/OPTIONS.md is old: write it by `UPDATE=1 cargo test -p ferrio-host`");
}
