use super::*;
use crate::engine::decode_text;

use TransportKind::{Polling, WebSocket};

/// A session with a clock that is moved by hand, fed with wire text.
struct Client {
    session: Session,
    now: Instant,
}

const CONFIG: SessionConfig = SessionConfig {
    ping_interval: Duration::from_secs(25),
    ping_timeout: Duration::from_secs(20),
    upgrade_timeout: Duration::from_secs(10),
    allow_upgrades: true,
};

impl Client {
    fn new(protocol: Protocol, transport: TransportKind) -> Self {
        Self::with_config(CONFIG, protocol, transport)
    }

    fn with_config(config: SessionConfig, protocol: Protocol, transport: TransportKind) -> Self {
        let now = Instant::now();
        Self { session: Session::new(config, protocol, transport, now), now }
    }

    /// Sends one packet, and returns what the layer above gets.
    fn send(&mut self, on: TransportKind, text: &str) -> Option<String> {
        let packet = decode_text(self.session.protocol(), text).unwrap();
        self.session.receive(on, packet, self.now).map(|data| match data {
            Data::Text(text) => text.to_owned(),
            Data::Binary(bytes) => format!("{bytes:?}"),
        })
    }

    /// Lets time pass, with every timeout on its moment.
    fn wait(&mut self, seconds: u64) -> Vec<Action> {
        let end = self.now + Duration::from_secs(seconds);
        let mut actions = self.actions();
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            assert!(due >= self.now, "a timeout lies in the past");
            self.now = due;
            self.session.handle_timeout(due);
            actions.append(&mut self.actions());
        }
        self.now = end;
        actions
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.poll_action()).collect()
    }

    fn request_upgrade(&mut self) -> Result<(), UpgradeRefused> {
        self.session.upgrade_requested(self.now)
    }
}

const fn sends(on: TransportKind, packet: ControlPacket) -> Action {
    Action::Send { on, packet }
}

#[test]
fn messages_are_handed_up_and_nothing_else_is() {
    let mut client = Client::new(Protocol::V4, WebSocket);
    assert_eq!(client.send(WebSocket, "4hello").as_deref(), Some("hello"));
    assert_eq!(client.send(WebSocket, "bAQI=").as_deref(), Some("[1, 2]"));
    for text in ["0", "3", "5", "6"] {
        assert_eq!(client.send(WebSocket, text), None);
    }
    assert_eq!(client.actions(), []);
}

#[test]
fn the_server_pings_and_a_silent_client_times_out() {
    let mut client = Client::new(Protocol::V4, WebSocket);
    assert_eq!(client.wait(24), []);
    assert_eq!(client.wait(1), [sends(WebSocket, ControlPacket::Ping)]);
    assert_eq!(client.wait(19), []);
    assert_eq!(client.wait(1), [Action::Closed(CloseReason::PingTimeout)]);
    assert_eq!(client.session.poll_timeout(), None);
}

#[test]
fn a_timer_that_is_late_does_not_put_the_ping_timeout_off() {
    for (late, closes_after) in [(1, 25 + 20), (15, 25 + 15 + 10)] {
        let mut client = Client::new(Protocol::V4, WebSocket);
        let begin = client.now;
        client.session.handle_timeout(begin + Duration::from_secs(25 + late));
        assert_eq!(client.actions(), [sends(WebSocket, ControlPacket::Ping)]);
        assert_eq!(client.session.poll_timeout(), Some(begin + Duration::from_secs(closes_after)));
    }
}

#[test]
fn a_pong_moves_the_next_ping_by_the_whole_interval() {
    let mut client = Client::new(Protocol::V4, WebSocket);
    assert_eq!(client.wait(35), [sends(WebSocket, ControlPacket::Ping)]);
    client.send(WebSocket, "3");
    assert_eq!(client.wait(24), []);
    assert_eq!(client.wait(1), [sends(WebSocket, ControlPacket::Ping)]);
}

#[test]
fn another_packet_puts_the_ping_timeout_off_once_for_each_ping() {
    let mut client = Client::new(Protocol::V4, WebSocket);
    client.wait(25 + 15);
    client.send(WebSocket, "4a");
    assert_eq!(client.wait(19), []);
    client.send(WebSocket, "4b");
    assert_eq!(client.wait(1), [Action::Closed(CloseReason::PingTimeout)]);

    let mut client = Client::new(Protocol::V4, WebSocket);
    for _ in 0..2 {
        assert_eq!(client.wait(25 + 15), [sends(WebSocket, ControlPacket::Ping)]);
        client.send(WebSocket, "4a");
        assert_eq!(client.wait(19), []);
        client.send(WebSocket, "3");
    }
}

#[test]
fn in_revision_3_the_client_pings_and_the_server_answers() {
    let mut client = Client::new(Protocol::V3, Polling);
    assert_eq!(client.wait(44), []);
    client.send(Polling, "2");
    assert_eq!(client.actions(), [sends(Polling, ControlPacket::Pong)]);
    assert_eq!(client.wait(44), []);
    client.send(Polling, "4a message does not count");
    assert_eq!(client.wait(1), [Action::Closed(CloseReason::PingTimeout)]);
}

#[test]
fn a_heartbeat_in_the_wrong_direction_is_a_transport_error() {
    for (protocol, text) in [(Protocol::V4, "2"), (Protocol::V3, "3")] {
        let mut client = Client::new(protocol, WebSocket);
        client.send(WebSocket, text);
        assert_eq!(client.actions(), [Action::Closed(CloseReason::TransportError)]);
    }
}

#[test]
fn the_client_ends_the_session_with_a_close_packet() {
    for transport in [Polling, WebSocket] {
        let mut client = Client::new(Protocol::V4, transport);
        client.send(transport, "1");
        assert_eq!(client.actions(), [Action::Closed(CloseReason::TransportClose)]);
    }
}

#[test]
fn losing_the_transport_ends_the_session() {
    for (is_error, reason) in [(false, CloseReason::TransportClose), (true, CloseReason::TransportError)] {
        let mut client = Client::new(Protocol::V4, WebSocket);
        client.session.transport_lost(WebSocket, is_error);
        assert_eq!(client.actions(), [Action::Closed(reason)]);
    }
}

#[test]
fn a_session_ends_once_and_then_ignores_everything() {
    let mut client = Client::new(Protocol::V4, Polling);
    client.session.close(CloseReason::ForcedClose);
    client.session.close(CloseReason::ServerShutdown);
    client.session.transport_lost(Polling, true);
    client.session.decode_failed(Polling);
    assert_eq!(client.actions(), [Action::Closed(CloseReason::ForcedClose)]);
    assert_eq!(client.send(Polling, "4late"), None);
    assert_eq!(client.request_upgrade(), Err(UpgradeRefused::Closed));
    client.session.handle_timeout(client.now + Duration::from_secs(1000));
    assert_eq!(client.wait(1000), []);
    assert!(!client.session.is_open());
}

#[test]
fn what_is_no_packet_ends_the_session() {
    let mut client = Client::new(Protocol::V4, Polling);
    client.session.decode_failed(Polling);
    assert_eq!(client.actions(), [Action::Closed(CloseReason::ParseError)]);
}

#[test]
fn a_polling_session_is_upgraded() {
    for protocol in [Protocol::V3, Protocol::V4] {
        let mut client = Client::new(protocol, Polling);
        assert_eq!(client.request_upgrade(), Ok(()));
        assert!(client.session.is_upgrading() && !client.session.releases_polls());
        client.send(WebSocket, "2probe");
        assert_eq!(client.actions(), [sends(WebSocket, ControlPacket::ProbePong), Action::ReleasePoll]);
        assert!(client.session.releases_polls());
        assert_eq!(client.send(Polling, "4still polling").as_deref(), Some("still polling"));
        assert_eq!(client.session.transport(), Polling);
        client.send(WebSocket, "5");
        assert_eq!(client.actions(), [Action::Upgraded]);
        assert_eq!(client.session.transport(), WebSocket);
        assert!(!client.session.is_upgrading() && !client.session.releases_polls());
        assert_eq!(client.send(WebSocket, "4new").as_deref(), Some("new"));
        assert_eq!(client.send(Polling, "4rest"), None);
        client.session.transport_lost(Polling, true);
        assert_eq!(client.actions(), []);
    }
}

#[test]
fn heartbeats_go_by_the_old_transport_until_the_upgrade() {
    let mut client = Client::new(Protocol::V4, Polling);
    client.wait(20);
    client.request_upgrade().unwrap();
    client.send(WebSocket, "2probe");
    client.actions();
    assert_eq!(client.wait(5), [sends(Polling, ControlPacket::Ping)]);
    client.send(WebSocket, "5");
    client.send(WebSocket, "3");
    assert_eq!(client.wait(25), [Action::Upgraded, sends(WebSocket, ControlPacket::Ping)]);
}

#[test]
fn an_upgrade_restarts_the_time_to_answer_a_ping() {
    let mut client = Client::new(Protocol::V4, Polling);
    client.wait(24);
    client.request_upgrade().unwrap();
    client.wait(6);
    client.send(WebSocket, "5");
    assert_eq!(client.wait(19), [Action::Upgraded]);
    assert_eq!(client.wait(1), [Action::Closed(CloseReason::PingTimeout)]);
}

#[test]
fn revision_3_still_times_out_after_an_upgrade() {
    let mut client = Client::new(Protocol::V3, Polling);
    client.wait(40);
    client.request_upgrade().unwrap();
    client.send(WebSocket, "5");
    assert_eq!(client.wait(44), [Action::Upgraded]);
    assert_eq!(client.wait(1), [Action::Closed(CloseReason::PingTimeout)]);
}

#[test]
fn a_probe_that_is_none_fails_the_upgrade_only() {
    for text in ["2", "2other", "3probe", "4message", "1", "6"] {
        let mut client = Client::new(Protocol::V4, Polling);
        client.request_upgrade().unwrap();
        assert_eq!(client.send(WebSocket, text), None);
        assert_eq!(client.actions(), [Action::UpgradeFailed], "{text}");
        assert_eq!(client.send(Polling, "4a").as_deref(), Some("a"));
        assert_eq!(client.request_upgrade(), Ok(()), "a failed upgrade may be tried again");
    }
}

#[test]
fn a_lost_or_broken_probe_fails_the_upgrade_only() {
    let mut client = Client::new(Protocol::V4, Polling);
    client.request_upgrade().unwrap();
    client.session.transport_lost(WebSocket, true);
    assert_eq!(client.actions(), [Action::UpgradeFailed]);
    client.request_upgrade().unwrap();
    client.session.decode_failed(WebSocket);
    assert_eq!(client.actions(), [Action::UpgradeFailed]);
    assert!(client.session.is_open());
}

#[test]
fn a_probe_that_is_never_finished_times_out() {
    let mut client = Client::new(Protocol::V4, Polling);
    client.request_upgrade().unwrap();
    client.send(WebSocket, "2probe");
    client.actions();
    assert_eq!(client.wait(9), []);
    assert_eq!(client.wait(1), [Action::UpgradeFailed]);
    assert!(!client.session.releases_polls());
}

#[test]
fn losing_the_old_transport_while_upgrading_ends_the_session() {
    let mut client = Client::new(Protocol::V4, Polling);
    client.request_upgrade().unwrap();
    client.session.transport_lost(Polling, true);
    assert_eq!(client.actions(), [Action::UpgradeFailed, Action::Closed(CloseReason::TransportError)]);
}

/// A polling client whose probe was answered.
fn probed() -> Client {
    let mut client = Client::new(Protocol::V4, Polling);
    client.request_upgrade().unwrap();
    client.send(WebSocket, "2probe");
    client.actions();
    client
}

#[test]
fn a_client_that_has_stopped_polling_hears_of_the_end_on_its_websocket() {
    for reason in [CloseReason::ForcedClose, CloseReason::ServerShutdown, CloseReason::PingTimeout] {
        let mut client = probed();
        client.session.close(reason);
        assert_eq!(client.actions(), [Action::Closed(reason)]);
        assert!(client.session.is_upgrading());
        assert_eq!(client.send(Polling, "4late"), None);
        assert_eq!(client.send(WebSocket, "5"), None);
        assert_eq!(client.actions(), [Action::Upgraded]);
        assert_eq!(client.session.transport(), WebSocket);
        assert_eq!(client.send(WebSocket, "4late"), None);
        client.session.close(CloseReason::ForcedClose);
        assert_eq!(client.wait(1000), []);
        assert_eq!(client.session.poll_timeout(), None);
    }
}

#[test]
fn an_upgrade_that_outlives_its_session_ends_in_time_or_when_its_websocket_does() {
    let mut client = probed();
    client.session.close(CloseReason::ServerShutdown);
    assert_eq!(client.wait(9), [Action::Closed(CloseReason::ServerShutdown)]);
    assert_eq!(client.wait(1000), [Action::UpgradeFailed]);
    assert_eq!(client.session.poll_timeout(), None);

    let mut client = probed();
    client.session.close(CloseReason::ServerShutdown);
    client.session.transport_lost(WebSocket, false);
    assert_eq!(client.actions(), [Action::Closed(CloseReason::ServerShutdown), Action::UpgradeFailed]);
    assert_eq!(client.send(WebSocket, "5"), None);
    assert_eq!(client.wait(1000), []);
}

#[test]
fn a_websocket_of_which_the_client_knows_nothing_yet_ends_with_its_session() {
    let mut client = Client::new(Protocol::V4, Polling);
    client.request_upgrade().unwrap();
    client.session.close(CloseReason::ServerShutdown);
    let closed = Action::Closed(CloseReason::ServerShutdown);
    assert_eq!(client.actions(), [Action::UpgradeFailed, closed]);
    client.send(WebSocket, "2probe");
    assert_eq!(client.wait(1000), []);

    // A client that has left itself needs no WebSocket either.
    let mut client = probed();
    client.send(Polling, "1");
    assert_eq!(client.actions(), [Action::UpgradeFailed, Action::Closed(CloseReason::TransportClose)]);
}

#[test]
fn a_second_websocket_is_refused() {
    let mut client = Client::new(Protocol::V4, Polling);
    client.request_upgrade().unwrap();
    assert_eq!(client.request_upgrade(), Err(UpgradeRefused::AlreadyUpgrading));
    client.send(WebSocket, "5");
    assert_eq!(client.request_upgrade(), Err(UpgradeRefused::AlreadyUpgraded));
    let mut client = Client::new(Protocol::V4, WebSocket);
    assert_eq!(client.request_upgrade(), Err(UpgradeRefused::AlreadyUpgraded));
}

#[test]
fn upgrades_can_be_forbidden() {
    let config = SessionConfig { allow_upgrades: false, ..CONFIG };
    let mut client = Client::with_config(config, Protocol::V4, Polling);
    assert_eq!(client.request_upgrade(), Err(UpgradeRefused::NotAllowed));
    assert_eq!(client.actions(), []);
}

#[test]
fn times_without_end_are_no_fault() {
    let config = SessionConfig {
        ping_interval: Duration::MAX,
        ping_timeout: Duration::MAX,
        upgrade_timeout: Duration::MAX,
        allow_upgrades: true,
    };
    for protocol in [Protocol::V3, Protocol::V4] {
        let mut client = Client::with_config(config, protocol, Polling);
        client.request_upgrade().unwrap();
        assert_eq!(client.wait(1_000_000), []);
        assert!(client.session.is_open());
    }
}

#[test]
fn a_peer_that_is_not_read_is_not_given_up() {
    let mut client = Client::new(Protocol::V4, WebSocket);
    assert_eq!(client.wait(35), [ping(WebSocket)]);
    // Ten seconds of its twenty are gone.
    client.session.reading_paused(client.now);
    // It is sent further pings, which its owner cannot write when it has gone.
    assert_eq!(client.wait(45), [ping(WebSocket), ping(WebSocket)]);
    assert!(client.session.is_open());
    client.session.reading_resumed(client.now);
    assert_eq!(client.send(WebSocket, "3"), None);
    assert_eq!(client.wait(25), [ping(WebSocket)]);
}

#[test]
fn a_peer_gets_back_the_time_that_it_was_not_read_and_no_more() {
    let mut client = Client::new(Protocol::V4, WebSocket);
    assert_eq!(client.wait(35), [ping(WebSocket)]);
    client.session.reading_paused(client.now);
    assert_eq!(client.wait(5), []);
    client.session.reading_resumed(client.now);
    // Ten are left.
    assert_eq!(client.wait(9), []);
    assert_eq!(client.wait(1), [Action::Closed(CloseReason::PingTimeout)]);
}

#[test]
fn a_peer_that_is_not_read_for_two_reasons_is_read_when_both_are_over() {
    let mut client = Client::new(Protocol::V3, Polling);
    client.session.reading_paused(client.now);
    client.session.reading_paused(client.now);
    client.session.reading_resumed(client.now);
    let longest_silence = CONFIG.longest_silence().as_secs();
    let pong = Action::Send { on: Polling, packet: ControlPacket::Pong };
    assert_eq!(client.wait(longest_silence), [pong]);
    client.session.reading_resumed(client.now);
    assert_eq!(client.wait(longest_silence), [Action::Closed(CloseReason::PingTimeout)]);
}

fn ping(on: TransportKind) -> Action {
    Action::Send { on, packet: ControlPacket::Ping }
}
