//! Who is let in: at once, later, or not; under which id; and from where.

use std::sync::Arc;

use bytes::Bytes;
use ferrio_engine::{Admitted, CloseReason, Config, Cors, Origin, OriginDecision, Refusal};
use ferrio_testing::{Reach, Target as _};
use http::{Method, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    Client, TestServer,
    client::{EntryPoint, Message, adopted, websocket},
    eventually,
    http::{Http, UPGRADE, assert_refused, head, text},
    in_time, member,
    recorder::{Manner, Recorder},
    start, start_with,
};

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";
const ID_IN_USE: &str = r#"{"code":3,"message":"Bad request"}"#;

/// A server whose test decides about handshakes.
async fn start_asking() -> TestServer {
    start_with(Config::default(), Manner { asks_to_admit: true, ..Manner::default() }).await
}

fn named(id: &str) -> Admitted {
    Admitted { id: Some(Arc::from(id)), ..Admitted::default() }
}

#[tokio::test]
async fn a_client_is_let_in_when_the_layer_has_decided() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_asking().await;
        let reach = test.reach();
        let opening = tokio::spawn(async move { Client::open(&reach, entry_point).await });
        let (head, answer) = test.heard.admit().await;
        assert_eq!(head.query("EIO").as_deref(), Some("4"), "{entry_point:?}");
        assert_eq!(test.server.n_sessions(), 0, "{entry_point:?}: it waits");
        answer.send(Ok(Admitted::default())).unwrap();
        let session = test.heard.opened().await;
        assert_eq!(&**session.id(), opening.await.unwrap().session_id(), "{entry_point:?}");
        assert_eq!(session.id().len(), 20, "{entry_point:?}: it has a random id");
    }
}

#[tokio::test]
async fn a_client_that_the_layer_does_not_want_is_told_so() {
    let cases = [
        (Refusal::forbidden("no \"entry\"".to_owned()), 403, r#"{"code":4,"message":"no \"entry\""}"#),
        (Refusal::forbidden(String::new()), 403, r#"{"code":4,"message":"Forbidden"}"#),
        (Refusal::unavailable("busy"), 503, r#"{"code":3,"message":"busy"}"#),
        (Refusal::bad_request("WHATEVER"), 400, r#"{"code":3,"message":"Bad request"}"#),
    ];
    let mut test = start_asking().await;
    for (refusal, status, body) in cases {
        for http in [Http::memory(&test), Http::tcp(&test)] {
            let asking = tokio::spawn(async move { http.get(POLLING).await });
            test.heard.admit().await.1.send(Err(refusal.clone())).unwrap();
            assert_refused(&asking.await.unwrap(), status, body);
        }
        for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
            let reach = test.reach();
            let asking = tokio::spawn(async move { websocket(&reach, entry_point, WEBSOCKET).await });
            test.heard.admit().await.1.send(Err(refusal.clone())).unwrap();
            let refused = asking.await.unwrap().err().expect("it is refused");
            assert_refused(&refused, 400, refusal.message());
        }
    }
    assert_eq!(test.server.n_sessions(), 0);
}

// Names.

#[tokio::test]
async fn the_layer_may_name_a_session() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_asking().await;
        let reach = test.reach();
        let opening = tokio::spawn(async move { Client::open(&reach, entry_point).await });
        test.heard.admit().await.1.send(Ok(named("its-own_id"))).unwrap();
        let session = test.heard.opened().await;
        assert_eq!(&**session.id(), "its-own_id", "{entry_point:?}");
        let client = opening.await.unwrap();
        assert_eq!(client.session_id(), "its-own_id", "{entry_point:?}");
        assert!(test.server.session("its-own_id").is_some(), "{entry_point:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_in_use_is_refused_and_its_owner_notices_nothing() {
    let mut test = start_asking().await;
    let http = Http::memory(&test);
    let query = format!("{POLLING}&sid=mine");
    let opening = async {
        test.heard.admit().await.1.send(Ok(named("mine"))).unwrap();
    };
    let (opened, ()) = tokio::join!(http.get(POLLING), opening);
    assert_eq!(opened.status(), 200);
    let owner = test.heard.opened().await;

    let opening = async {
        test.heard.admit().await.1.send(Ok(named("mine"))).unwrap();
    };
    let (refused, ()) = tokio::join!(http.get(POLLING), opening);
    assert_refused(&refused, 400, ID_IN_USE);
    let (_, refusal) = test.heard.refused().await;
    assert_eq!(refusal.context(), [("name", "ID_GENERATION_ERROR".to_owned())]);
    assert_eq!(test.server.n_sessions(), 1);

    // So is one of a session whose client has yet to hear of its end.
    assert_eq!(text(&http.post(&query, b"4here").await), "ok");
    assert_eq!(test.heard.text().await, "here");
    owner.close(CloseReason::ForcedClose);
    assert_eq!(test.heard.reason().await, "forced close");
    let opening = async {
        test.heard.admit().await.1.send(Ok(named("mine"))).unwrap();
    };
    let (refused, ()) = tokio::join!(http.get(POLLING), opening);
    assert_refused(&refused, 400, ID_IN_USE);
    assert_eq!(text(&http.get(&query).await), "6\x1e1", "it is told to the one whose session it was");

    // Now it is free.
    let opening = async {
        test.heard.refused().await;
        test.heard.admit().await.1.send(Ok(named("mine"))).unwrap();
    };
    let (opened, ()) = tokio::join!(http.get(POLLING), opening);
    assert_eq!(member(text(&opened), "sid"), "mine");
    assert_eq!(test.server.n_sessions(), 1);
    assert_eq!(test.server.metrics().connections_opened, 2);
}

#[tokio::test]
async fn a_websocket_whose_name_is_in_use_is_refused_as_http() {
    let mut test = start_asking().await;
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver, EntryPoint::Messages] {
        let name = format!("{entry_point:?}");
        let reach = test.reach();
        let opening = tokio::spawn(async move { Client::open(&reach, entry_point).await });
        test.heard.admit().await.1.send(Ok(named(&name))).unwrap();
        let owner = test.heard.opened().await;
        let mut client = opening.await.unwrap();

        let asking = tokio::spawn(refused(test.reach(), entry_point));
        test.heard.admit().await.1.send(Ok(named(&name))).unwrap();
        let answer = in_time(asking).await.unwrap().expect("it is refused");
        assert_refused(&answer, 400, "Bad request");
        let (_, refusal) = test.heard.refused().await;
        assert_eq!(refusal.context(), [("name", "ID_GENERATION_ERROR".to_owned())], "{entry_point:?}");
        assert!(owner.is_open());
        client.send("4still mine").await;
        assert_eq!(test.heard.text().await, "still mine", "{entry_point:?}");
        client.close().await;
        assert_eq!(test.heard.reason().await, "transport close");
    }
}

/// The answer that refuses a WebSocket; `None` when it was accepted and then closed.
async fn refused(reach: Reach<Recorder>, entry_point: EntryPoint) -> Option<Response<Bytes>> {
    if entry_point == EntryPoint::Messages {
        let request = head(&Method::GET, WEBSOCKET, &UPGRADE);
        return Some(reach.engine().serve_messages(request).await.expect_err("it is refused"));
    }
    match websocket(&reach, entry_point, WEBSOCKET).await {
        Ok(mut websocket) => {
            assert_eq!(websocket.reader.receive().await, Message::Lost);
            None
        }
        Err(answer) => Some(answer),
    }
}

#[tokio::test]
async fn of_two_that_get_one_name_at_once_one_is_let_in() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let mut test = start_asking().await;
        let asking: Vec<_> = (0..2)
            .map(|_| {
                let reach = test.reach();
                tokio::spawn(async move {
                    let mut websocket = websocket(&reach, entry_point, WEBSOCKET).await.ok()?;
                    matches!(websocket.reader.receive().await, Message::Text(_)).then_some(websocket)
                })
            })
            .collect();
        let questions = [test.heard.admit().await, test.heard.admit().await];
        for (_, answer) in questions {
            answer.send(Ok(named("both"))).unwrap();
        }
        let mut let_in = Vec::new();
        for asking in asking {
            let_in.extend(in_time(asking).await.unwrap());
        }
        assert_eq!(let_in.len(), 1, "{entry_point:?}");
        eventually(|| test.server.metrics().requests_refused == 1).await;
        assert_eq!(test.server.metrics().connections_opened, 1, "{entry_point:?}");
    }
}

// Origins.

#[tokio::test]
async fn the_layer_is_asked_about_an_origin_once_for_a_session() {
    let cors = Cors { origin: Origin::Ask, enforce: true, ..Cors::default() };
    let mut test = start(Config { cors: Some(cors), ..Config::default() }).await;
    let http = Http::memory(&test);
    let origin = [("origin", "https://example.com")];
    let opening = http.request(Method::GET, POLLING, &origin, b"");
    let (opened, ()) = tokio::join!(opening, async {
        test.heard.origin().await.send(OriginDecision::Reflect).unwrap();
    });
    let query = format!("{POLLING}&sid={}", member(text(&opened), "sid"));
    test.heard.opened().await;
    // Nobody is there to answer.
    let posted = http.request(Method::POST, &query, &origin, b"40").await;
    assert_eq!((posted.status().as_u16(), text(&posted)), (200, "ok"));
    assert_eq!(posted.headers()["access-control-allow-origin"], "https://example.com");
    assert_eq!(test.heard.text().await, "0");
    test.heard.assert_silent();
    // Another origin is another question.
    let elsewhere = [("origin", "https://example.org")];
    let polling = http.request(Method::GET, &query, &elsewhere, b"");
    let (refused, ()) = tokio::join!(polling, async {
        test.heard.origin().await.send(OriginDecision::Refused).unwrap();
    });
    assert_eq!(refused.status(), 400);
}

// Clients that do not wait.

#[tokio::test]
async fn a_request_ends_with_its_client_while_the_layer_thinks() {
    let mut test = start_asking().await;
    let mut stream = adopted(&test.server, WEBSOCKET).await;
    let (_, answer) = test.heard.admit().await;
    stream.shutdown().await.unwrap();
    assert_eq!(in_time(stream.read(&mut [0])).await.unwrap(), 0, "the server has closed, too");
    assert!(answer.send(Ok(Admitted::default())).is_err(), "nobody waits for it any more");
    assert_eq!(test.server.n_sessions(), 0);
}
