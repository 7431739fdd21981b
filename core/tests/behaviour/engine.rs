//! What a host that shows the engine itself is told and asked.

use std::sync::Arc;

use ferrio::{Admitted, Config, Connection, Data, HostEvent, Parser, Refusal, SessionEvent, Watch};
use http::{Extensions, Method};

use crate::support::{TestServer, client::EntryPoint, http::Http, http::text, start};

/// A server of the engine alone, whose sessions are watched for these events.
async fn start_watched(watch: Watch) -> TestServer {
    let test = start(Config { parser: Parser::None, ..Config::default() }).await;
    test.server.engine().watch_new_sessions(watch);
    test
}

impl TestServer {
    async fn session_event(&mut self) -> (Arc<Connection>, SessionEvent) {
        match self.host.next().await {
            HostEvent::Session { connection, event } => (connection, event),
            other => panic!("an event of a session was due, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_first_message_comes_behind_the_open_packet() {
    let test = start_watched(Watch::default()).await;
    test.server.engine().greet(Some(&Data::Text("welcome")));
    for entry_point in [EntryPoint::Channel, EntryPoint::Handle] {
        assert_eq!(test.open(entry_point).await.text().await, "4welcome");
    }
    test.server.engine().greet(Some(&Data::Binary((&b"\x01\x02"[..]).into())));
    assert_eq!(test.open(EntryPoint::Channel).await.binary().await, [1, 2]);
}

#[tokio::test]
async fn what_was_wrong_with_a_transport_is_known_at_its_end() {
    let mut test = start_watched(Watch::CLOSE).await;
    let mut client = test.open(EntryPoint::Channel).await;
    let (_, event) = test.session_event().await;
    assert!(matches!(event, SessionEvent::Opened));
    client.send("2").await;
    let (session, event) = test.session_event().await;
    assert!(matches!(event, SessionEvent::Closed(reason) if reason.as_str() == "transport error"));
    assert_eq!(session.fault(), Some("invalid heartbeat direction"));
}

#[tokio::test]
async fn a_client_that_did_not_poll_is_known_to_have_been_told() {
    let mut test = start_watched(Watch::CLOSE | Watch::TOLD).await;
    let client = test.open(EntryPoint::Handle).await;
    let (session, _) = test.session_event().await;
    test.server.force_close(&session);
    let (_, event) = test.session_event().await;
    assert!(matches!(event, SessionEvent::Closed(_)));
    assert!(test.server.engine().has_ended_untold(session.id()));
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
    let (told, event) = test.session_event().await;
    assert!(matches!(event, SessionEvent::Told));
    assert_eq!(told.id(), session.id());
    assert!(!test.server.engine().has_ended_untold(session.id()));
}

#[tokio::test]
async fn a_probe_that_is_given_up_is_told_of_and_its_packets_are_not() {
    let mut test = start_watched(Watch::PACKET | Watch::UPGRADING).await;
    let client = test.open(EntryPoint::Handle).await;
    let _ = test.session_event().await;
    let query = format!("EIO=4&transport=websocket&sid={}", client.session_id());
    let mut probe = crate::support::client::websocket(&test, EntryPoint::Channel, &query).await.unwrap();
    probe.writer.text("2probe").await;
    let (_, event) = test.session_event().await;
    assert!(matches!(event, SessionEvent::Upgrading), "{event:?}");
    drop(probe);
    let (session, event) = test.session_event().await;
    assert!(matches!(event, SessionEvent::UpgradeFailed), "{event:?}");
    assert!(session.is_open());
}

#[tokio::test]
async fn an_id_of_the_hosts_is_refused_when_it_is_taken_and_extensions_are_kept() {
    let mut test = start_watched(Watch::CLOSE).await;
    test.server.ask_about_requests(true);
    test.server.tell_refusals(true);
    for is_first in [true, false] {
        let http = Http::memory(&test);
        let asking = tokio::spawn(async move { http.get("EIO=4&transport=polling").await });
        let HostEvent::Request { answer, .. } = test.host.next().await else { panic!("a question was due") };
        let mut extensions = Extensions::new();
        extensions.insert("kept");
        answer.send(Ok(Admitted { id: Some("mine".into()), extensions, ..Admitted::default() }));
        let response = asking.await.unwrap();
        match test.host.next().await {
            HostEvent::Session { connection, .. } => {
                assert!(is_first && response.status() == 200);
                assert_eq!(connection.handshake().head.extensions.get(), Some(&"kept"));
            }
            HostEvent::Refused { refusal, .. } => {
                assert!(!is_first && response.status() == 400);
                assert_eq!(refusal.context(), [("name", "ID_GENERATION_ERROR".to_owned())]);
            }
            other => panic!("a session or a refusal was due, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_the_host_itself_has_refused_it_is_not_told() {
    let mut test = start_watched(Watch::CLOSE).await;
    test.server.ask_about_requests(true);
    test.server.tell_refusals(true);
    let http = Http::memory(&test);
    let asking = tokio::spawn(async move { http.get("EIO=4&transport=polling").await });
    let HostEvent::Request { answer, .. } = test.host.next().await else { panic!("a question was due") };
    answer.send(Err(Refusal::forbidden("not you".to_owned()).known()));
    assert_eq!(text(&asking.await.unwrap()), r#"{"code":4,"message":"not you"}"#);
    let http = Http::memory(&test);
    http.request(Method::PUT, "EIO=4&transport=polling", &[], b"").await;
    let HostEvent::Refused { refusal, .. } = test.host.next().await else { panic!("a refusal was due") };
    assert_eq!(refusal.code(), 2);
}

#[tokio::test]
async fn an_id_of_the_hosts_stays_the_value_of_the_cookie() {
    let mut config = Config { parser: Parser::None, ..Config::default() };
    config.engine.cookie = Some(ferrio::Cookie::default());
    let mut test = start(config).await;
    test.server.ask_about_requests(true);
    let http = Http::memory(&test);
    let asking = tokio::spawn(async move { http.get("EIO=4&transport=polling").await });
    let HostEvent::Request { answer, .. } = test.host.next().await else { panic!("a question was due") };
    let id = "a; Domain=\"evil\"\r\nX: é";
    answer.send(Ok(Admitted { id: Some(id.into()), ..Admitted::default() }));
    let opened = asking.await.unwrap();
    // What `encodeURIComponent` makes of it, as with engine.io.
    let expected = "io=a%3B%20Domain%3D%22evil%22%0D%0AX%3A%20%C3%A9; Path=/; HttpOnly; SameSite=Lax";
    assert_eq!(opened.headers()["set-cookie"], expected);
    assert!(test.server.engine().session(id).is_some());
}
