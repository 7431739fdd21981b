//! Options that change while the server runs.

use std::time::Duration;

use ferrio_engine::{Config, Cors, Transports};
use http::Method;

use crate::support::{
    http::{Http, assert_refused, text},
    start,
};

const POLLING: &str = "EIO=4&transport=polling";

#[tokio::test]
async fn changed_options_hold_for_what_begins_from_then_on() {
    let test = start(Config::default()).await;
    let http = Http::memory(&test);
    assert!(text(&http.get(POLLING).await).contains(r#""pingInterval":25000"#));

    let ping_interval = Duration::from_millis(1234);
    let changed = Config { ping_interval, max_http_buffer_size: 1000, ..Config::default() };
    test.server.reconfigure(changed).unwrap();
    let opened = http.get(POLLING).await;
    assert!(text(&opened).contains(r#""pingInterval":1234"#), "{opened:?}");
    assert!(text(&opened).contains(r#""maxPayload":1000"#), "{opened:?}");
    assert_eq!(test.server.config().ping_interval, Duration::from_secs(25), "what it was made with");

    let transports = Transports { polling: false, websocket: true };
    test.server.reconfigure(Config { transports, ..Config::default() }).unwrap();
    assert_refused(&http.get(POLLING).await, 400, r#"{"code":0,"message":"Transport unknown"}"#);

    test.server.reconfigure(Config { cors: Some(Cors::default()), ..Config::default() }).unwrap();
    let answer = http.request(Method::GET, POLLING, &[("origin", "http://a.example")], &[]).await;
    assert!(answer.headers().contains_key("access-control-allow-origin"), "{answer:?}");
}

#[tokio::test]
async fn a_bad_change_is_refused_and_changes_nothing() {
    let test = start(Config::default()).await;
    let bad = Config { ping_interval: Duration::ZERO, max_http_buffer_size: 1000, ..Config::default() };
    assert_eq!(test.server.reconfigure(bad).unwrap_err().option(), "ping_interval");
    assert!(text(&Http::memory(&test).get(POLLING).await).contains(r#""maxPayload":1000000"#));
}
