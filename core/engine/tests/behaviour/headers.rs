//! The headers that a layer adds to answers, or replaces.

use ferrio_engine::{Config, Cookie};
use ferrio_testing::Target as _;
use http::{HeaderMap, HeaderValue};

use crate::support::{
    Client, TestServer,
    client::{EntryPoint, websocket},
    http::{Http, text},
    in_time, member,
    recorder::Manner,
    send, start_with,
};

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";

async fn start_asking(config: Config) -> TestServer {
    let test = start_with(config, Manner { asks_for_headers: true, ..Manner::default() }).await;
    test.server.ask_for_headers(true);
    test
}

/// Answers the next question by these headers beside those that are there, and tells whether it was the session's first.
async fn add(test: &mut TestServer, name: &'static str, value: &'static str) -> (bool, HeaderMap) {
    let (is_first, before, answer) = test.heard.headers().await;
    let mut headers = before.clone();
    headers.insert(name, HeaderValue::from_static(value));
    answer.send(headers).unwrap();
    (is_first, before)
}

#[tokio::test]
async fn the_layer_adds_headers_to_the_first_answer_and_to_later_ones() {
    let mut test = start_asking(Config { cookie: Some(Cookie::default()), ..Config::default() }).await;
    for is_tcp in [false, true] {
        let http = if is_tcp { Http::tcp(&test) } else { Http::memory(&test) };
        let asking = http.clone();
        let opening = tokio::spawn(async move { asking.get(POLLING).await });
        let session = test.heard.opened().await;
        let (is_first, before) = add(&mut test, "x-added", "first").await;
        assert!(is_first);
        assert_eq!(before["content-type"], "text/plain; charset=UTF-8");
        assert!(before.contains_key("set-cookie"), "what the engine says is there already");
        let opened = in_time(opening).await.unwrap();
        assert_eq!(opened.headers()["x-added"], "first");
        assert!(opened.headers().contains_key("set-cookie"));

        let query = format!("{POLLING}&sid={}", member(text(&opened), "sid"));
        let (asking, to) = (http.clone(), query.clone());
        let posting = tokio::spawn(async move { asking.post(&to, b"4hello").await });
        assert_eq!(test.heard.text().await, "hello");
        let (is_first, _) = add(&mut test, "x-added", "later").await;
        assert!(!is_first);
        let posted = in_time(posting).await.unwrap();
        assert_eq!((text(&posted), &posted.headers()["x-added"]), ("ok", &HeaderValue::from_static("later")));

        // One that the engine has set is replaced.
        send(&session, "news");
        let polling = tokio::spawn(async move { http.get(&query).await });
        add(&mut test, "cache-control", "private").await;
        let polled = in_time(polling).await.unwrap();
        let values: Vec<_> = polled.headers().get_all("cache-control").iter().collect();
        assert_eq!(values, ["private"]);
        assert_eq!(text(&polled), "4news");
    }
}

#[tokio::test]
async fn the_layer_adds_headers_to_the_answer_that_accepts_a_websocket() {
    let mut test = start_asking(Config::default()).await;
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let reach = test.reach();
        let opening = tokio::spawn(async move { websocket(&reach, entry_point, WEBSOCKET).await });
        let (is_first, before) = add(&mut test, "x-added", "101").await;
        assert!(is_first, "{entry_point:?}");
        assert_eq!(before["upgrade"], "websocket", "{entry_point:?}");
        let websocket = in_time(opening).await.unwrap().expect("it is accepted");
        assert_eq!(websocket.headers["x-added"], "101", "{entry_point:?}");
        let session = test.heard.opened().await;
        drop(websocket);
        assert_eq!(test.heard.closed().await.0.id(), session.id());
    }
}

#[tokio::test]
async fn a_header_of_the_answer_that_accepts_a_websocket_is_replaced() {
    let mut test = start_asking(Config::default()).await;
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let reach = test.reach();
        let opening = tokio::spawn(async move { websocket(&reach, entry_point, WEBSOCKET).await });
        // Header names are of any case, and this one's value is compared without looking at it.
        add(&mut test, "connection", "upgrade").await;
        let websocket = in_time(opening).await.unwrap().expect("it is accepted");
        let values: Vec<_> = websocket.headers.get_all("connection").iter().collect();
        assert_eq!(values, ["upgrade"], "{entry_point:?}");
        test.heard.opened().await;
        drop(websocket);
        test.heard.closed().await;
    }
}

#[tokio::test]
async fn a_websocket_for_an_upgrade_is_not_the_first() {
    let mut test = start_asking(Config::default()).await;
    let reach = test.reach();
    let opening = tokio::spawn(async move { Client::open(&reach, EntryPoint::Handle).await });
    test.heard.opened().await;
    add(&mut test, "x-added", "first").await;
    let client = in_time(opening).await.unwrap();
    let (reach, query) = (test.reach(), client.upgrade_query());
    let probing = tokio::spawn(async move { websocket(&reach, EntryPoint::Listen, &query).await });
    let (is_first, _) = add(&mut test, "x-added", "later").await;
    assert!(!is_first);
    assert_eq!(in_time(probing).await.unwrap().expect("it is accepted").headers["x-added"], "later");
}

#[tokio::test]
async fn nobody_is_asked_for_headers_who_did_not_want_to_be() {
    let mut test =
        start_with(Config::default(), Manner { asks_for_headers: true, ..Manner::default() }).await;
    let mut clients = Vec::new();
    for entry_point in EntryPoint::ALL {
        let (mut client, _) = test.open(entry_point).await;
        client.send("4hello").await;
        assert_eq!(test.heard.text().await, "hello", "{entry_point:?}");
        clients.push(client);
    }
    // It can be changed at any time.
    test.server.ask_for_headers(true);
    let http = Http::memory(&test);
    let opening = tokio::spawn(async move { http.get(POLLING).await });
    test.heard.opened().await;
    assert!(add(&mut test, "x-added", "1").await.0);
    assert_eq!(in_time(opening).await.unwrap().headers()["x-added"], "1");
    test.server.ask_for_headers(false);
    test.open(EntryPoint::Handle).await;
}

/// The layer does not decide, and the client goes: what it was to be answered is lost, and so its session is over.
#[tokio::test]
async fn a_poll_that_is_abandoned_while_its_headers_are_asked_for_ends_the_session() {
    for is_first in [true, false] {
        let mut test = start_asking(Config::default()).await;
        let http = Http::memory(&test);
        let asking = http.clone();
        let opening = tokio::spawn(async move { asking.get(POLLING).await });
        let session = test.heard.opened().await;
        let (_, _, answer) = test.heard.headers().await;
        let abandoned = if is_first {
            opening
        } else {
            answer.send(HeaderMap::new()).unwrap();
            in_time(opening).await.unwrap();
            send(&session, "lost");
            let query = format!("{POLLING}&sid={}", session.id());
            let polling = tokio::spawn(async move { http.get(&query).await });
            let (_, _, _answer) = test.heard.headers().await;
            assert!(session.is_open());
            polling.abort();
            polling
        };
        abandoned.abort();
        assert_eq!(test.heard.reason().await, "transport error", "first: {is_first}");
        test.emptied().await;
    }
}

/// A POST has been taken by then.
#[tokio::test]
async fn a_post_that_is_abandoned_while_its_headers_are_asked_for_changes_nothing() {
    let mut test = start_asking(Config::default()).await;
    let reach = test.reach();
    let opening = tokio::spawn(async move { Client::open(&reach, EntryPoint::Handle).await });
    let session = test.heard.opened().await;
    add(&mut test, "x-added", "first").await;
    let client = in_time(opening).await.unwrap();
    let (http, query) = (client.polling().http.clone(), client.polling().query.clone());
    let posting = tokio::spawn(async move { http.post(&query, b"4taken").await });
    assert_eq!(test.heard.text().await, "taken");
    let question = test.heard.headers().await;
    posting.abort();
    assert!(posting.await.unwrap_err().is_cancelled());
    drop(question);
    assert!(session.is_open());
}
