//! What a layer is told of requests that are refused: code, message, status and context are engine.io's.

use ferrio_engine::{Config, Cors, Limits, Origin, Refusal};
use ferrio_testing::Target as _;
use http::Method;

use crate::support::{
    TestServer,
    client::{EntryPoint, websocket},
    http::Http,
    in_time,
    recorder::Manner,
    start, start_default, start_with,
};

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";

/// Code, message, status and context.
type Expected<'a> = (u8, &'a str, u16, &'a [(&'static str, &'a str)]);

/// Sees that the layer hears of a refusal, by which the client was answered.
async fn assert_told(test: &mut TestServer, request: &str, status: u16, expected: Expected<'_>) {
    let (head, refusal) = test.heard.refused().await;
    assert_eq!(head.uri.query(), Some(request.split(' ').next_back().unwrap()));
    let (code, message, own_status, context) = expected;
    assert_eq!((refusal.code(), refusal.message()), (code, message), "{request}");
    assert_eq!(refusal.status().as_u16(), own_status, "{request}");
    let told: Vec<_> = refusal.context().iter().map(|(name, value)| (*name, &**value)).collect();
    assert_eq!(told, context, "{request}");
    assert_eq!(status, own_status, "{request}");
}

#[tokio::test]
async fn every_refusal_of_a_plain_request_is_told() {
    let mut test = start_default().await;
    let (client, polling) = test.open(EntryPoint::Handle).await;
    let (_websocket, on_websocket) = test.open(EntryPoint::Channel).await;
    let own = format!("{POLLING}&sid={}", polling.id());
    let others = format!("{POLLING}&sid={}", on_websocket.id());
    let as_websocket = format!("{WEBSOCKET}&sid={}", polling.id());
    let handshake = ("name", "TRANSPORT_HANDSHAKE_ERROR");
    let mismatch = ("name", "TRANSPORT_MISMATCH");
    let cases: [(Method, &str, Expected<'_>); 9] = [
        (Method::GET, "EIO=4", (0, "Transport unknown", 400, &[("transport", "")])),
        (Method::GET, "EIO=4&transport=pigeon", (0, "Transport unknown", 400, &[("transport", "pigeon")])),
        (Method::GET, "EIO=4&transport=polling&sid=none", (1, "Session ID unknown", 400, &[("sid", "none")])),
        (Method::POST, POLLING, (2, "Bad handshake method", 400, &[("method", "POST")])),
        (Method::GET, WEBSOCKET, (3, "Bad request", 400, &[handshake])),
        (
            Method::GET,
            "EIO=3&transport=polling",
            (5, "Unsupported protocol version", 400, &[("protocol", "3")]),
        ),
        (
            Method::GET,
            &others,
            (
                3,
                "Bad request",
                400,
                &[mismatch, ("transport", "polling"), ("previousTransport", "websocket")],
            ),
        ),
        (
            Method::GET,
            &as_websocket,
            (
                3,
                "Bad request",
                400,
                &[mismatch, ("transport", "websocket"), ("previousTransport", "polling")],
            ),
        ),
        (Method::PUT, &own, (3, "Bad request", 400, &[])),
    ];
    for http in [Http::memory(&test), Http::tcp(&test)] {
        for (method, query, expected) in &cases {
            let answer = http.request(method.clone(), query, &[], b"").await;
            assert_told(&mut test, query, answer.status().as_u16(), *expected).await;
        }
    }
    assert_eq!(test.server.metrics().requests_refused, 2 * cases.len() as u64);
    drop(client);
}

#[tokio::test]
async fn every_refusal_of_a_websocket_request_is_told() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let mut test = start(Config { allow_upgrades: false, ..Config::default() }).await;
        let (_client, session) = test.open(EntryPoint::Handle).await;
        let upgrade = format!("{WEBSOCKET}&sid={}", session.id());
        let handshake = ("name", "TRANSPORT_HANDSHAKE_ERROR");
        let mismatch = ("name", "TRANSPORT_MISMATCH");
        let cases: [(&str, Expected<'_>); 6] = [
            ("EIO=4", (0, "Transport unknown", 400, &[("transport", "")])),
            ("EIO=4&transport=websocket&sid=none", (1, "Session ID unknown", 400, &[("sid", "none")])),
            (POLLING, (3, "Bad request", 400, &[handshake])),
            ("EIO=3&transport=websocket", (5, "Unsupported protocol version", 400, &[("protocol", "3")])),
            (
                "EIO=3&transport=websocket&sid=",
                (5, "Unsupported protocol version", 400, &[("protocol", "3")]),
            ),
            (
                &upgrade,
                (
                    3,
                    "Bad request",
                    400,
                    &[mismatch, ("transport", "websocket"), ("previousTransport", "polling")],
                ),
            ),
        ];
        for (query, expected) in cases {
            let refused = websocket(&test, entry_point, query).await.err().expect("it is refused");
            assert_eq!(refused.body(), expected.1, "{entry_point:?}: the bare message");
            assert_told(&mut test, query, refused.status().as_u16(), expected).await;
        }
    }
}

#[tokio::test]
async fn refusals_by_a_limit_by_an_origin_and_by_the_layer_are_told() {
    let mut full =
        start(Config { limits: Limits { max_connections: 1, ..Limits::default() }, ..Config::default() })
            .await;
    let _one = full.open(EntryPoint::Channel).await;
    let answer = Http::memory(&full).get(POLLING).await;
    let expected: Expected<'_> = (3, "Too many connections", 503, &[]);
    assert_told(&mut full, POLLING, answer.status().as_u16(), expected).await;
    full.server.refuse_new_sessions();
    let answer = Http::memory(&full).get(POLLING).await;
    let expected: Expected<'_> = (3, "Server is shutting down", 503, &[]);
    assert_told(&mut full, POLLING, answer.status().as_u16(), expected).await;

    let only = Origin::List(vec!["https://example.com".to_owned()]);
    let cors = Cors { origin: only, enforce: true, ..Cors::default() };
    let mut strict = start(Config { cors: Some(cors), ..Config::default() }).await;
    let elsewhere = [("origin", "https://example.org")];
    let answer = Http::memory(&strict).request(Method::GET, POLLING, &elsewhere, b"").await;
    let expected: Expected<'_> = (3, "Origin not allowed", 400, &[]);
    assert_told(&mut strict, POLLING, answer.status().as_u16(), expected).await;

    let mut asking = start_with(Config::default(), Manner { asks_to_admit: true, ..Manner::default() }).await;
    let cases: [(Refusal, Expected<'_>); 4] = [
        (Refusal::forbidden("no entry".to_owned()), (4, "no entry", 403, &[("message", "no entry")])),
        (Refusal::forbidden(String::new()), (4, "Forbidden", 403, &[("message", "")])),
        (Refusal::bad_request("ITS_OWN"), (3, "Bad request", 400, &[("name", "ITS_OWN")])),
        (Refusal::unavailable("busy"), (3, "busy", 503, &[])),
    ];
    for (refusal, expected) in cases {
        let http = Http::tcp(&asking);
        let requesting = tokio::spawn(async move { http.get(POLLING).await });
        asking.heard.admit().await.1.send(Err(refusal.clone())).unwrap();
        let status = in_time(requesting).await.unwrap().status().as_u16();
        assert_told(&mut asking, POLLING, status, expected).await;

        let reach = asking.reach();
        let requesting = tokio::spawn(async move { websocket(&reach, EntryPoint::Listen, WEBSOCKET).await });
        asking.heard.admit().await.1.send(Err(refusal)).unwrap();
        let refused = in_time(requesting).await.unwrap().err().expect("it is refused");
        // Its answer has status 400, whatever was wrong.
        assert_eq!((refused.status().as_u16(), &**refused.body()), (400, expected.1.as_bytes()));
        assert_told(&mut asking, WEBSOCKET, expected.2, expected).await;
    }
}
