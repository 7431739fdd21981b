//! The session machine under random packets, upgrades, losses and lapses of time.
#![no_main]

use std::time::{Duration, Instant};

use ferrio_protocol::engine::{
    Action, CloseReason, Data, Protocol, Session, SessionConfig, TransportKind, decode_text,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&first, operations)) = input.split_first() else { return };
    let protocol = if first & 1 == 0 { Protocol::V4 } else { Protocol::V3 };
    let transport = transport(first >> 1);
    let config = SessionConfig { allow_upgrades: first & 4 == 0, ..CONFIG };
    let now = Instant::now();
    let session = Session::new(config, protocol, transport, now);
    let mut run = Run { session, now, n_upgrades_due: 0, is_upgraded: false, is_closed: false };
    run.drain();
    for &operation in operations {
        run.step(operation);
        run.drain();
    }
    run.fall_silent();
});

struct Run {
    session: Session,
    now: Instant,
    n_upgrades_due: u32,
    is_upgraded: bool,
    is_closed: bool,
}

impl Run {
    /// The upper half of an operation says what, the lower half how.
    fn step(&mut self, operation: u8) {
        let how = operation & 15;
        match operation >> 4 {
            0..=7 => self.receive(operation),
            8 => self.request_upgrade(),
            9 => self.session.transport_lost(transport(how), how & 2 == 0),
            10 => self.session.decode_failed(transport(how)),
            11 if how == 0 => self.session.close(CloseReason::ForcedClose),
            11 | 12 => self.now += Duration::from_millis(u64::from(how) * 100),
            13 => self.now += Duration::from_secs(how.into()),
            14 => self.session.handle_timeout(self.now),
            _ => self.wait_for_timeout(),
        }
    }

    fn receive(&mut self, operation: u8) {
        let from = transport(operation);
        let text = PACKETS[usize::from(operation >> 1) % PACKETS.len()];
        let packet = decode_text(self.session.protocol(), text).expect("a packet");
        let is_current = self.session.is_open() && from == self.session.transport();
        let message = self.session.receive(from, packet, self.now);
        assert_eq!(message.is_some(), is_current && text.starts_with('4'), "{text}");
        assert!(message.is_none_or(|data| data == Data::Text(&text[1..])));
    }

    fn request_upgrade(&mut self) {
        if self.session.upgrade_requested(self.now).is_ok() {
            assert!(!self.is_closed && !self.is_upgraded);
            self.n_upgrades_due += 1;
        }
        assert!(self.n_upgrades_due <= 1);
    }

    fn wait_for_timeout(&mut self) {
        let Some(due) = self.session.poll_timeout() else { return };
        self.now = self.now.max(due);
        self.session.handle_timeout(self.now);
        assert!(self.session.poll_timeout().is_none_or(|next| next > self.now), "a timeout does not go away");
    }

    fn drain(&mut self) {
        while let Some(action) = self.session.poll_action() {
            // A client that is told on its probed WebSocket may still repeat the probe.
            assert!(!self.is_closed || self.n_upgrades_due == 1, "{action:?} after the end");
            match action {
                Action::Send { .. } => {}
                Action::ReleasePoll => assert!(self.n_upgrades_due == 1),
                Action::Upgraded => {
                    assert!(!self.is_upgraded);
                    self.is_upgraded = true;
                    self.n_upgrades_due -= 1;
                }
                Action::UpgradeFailed => self.n_upgrades_due -= 1,
                Action::Closed(_) => {
                    assert!(!self.is_closed, "it ends once");
                    self.is_closed = true;
                }
            }
        }
        assert_eq!(self.is_closed, !self.session.is_open());
        let has_ended = self.is_closed && self.n_upgrades_due == 0;
        assert_eq!(has_ended, self.session.poll_timeout().is_none());
        assert_eq!(self.n_upgrades_due == 1, self.session.is_upgrading());
        assert!(!self.session.releases_polls() || self.session.is_upgrading());
        assert!(!self.is_upgraded || self.session.transport() == TransportKind::WebSocket);
    }

    /// A peer of which nothing more is heard is given up within one interval and one timeout.
    fn fall_silent(&mut self) {
        let end = self.now + CONFIG.ping_interval + CONFIG.ping_timeout;
        while let Some(due) = self.session.poll_timeout() {
            // What is long overdue counts from when it is noticed.
            assert!(due <= end, "a silent peer is kept");
            self.wait_for_timeout();
            self.drain();
        }
        assert!(self.is_closed);
    }
}

const fn transport(bit: u8) -> TransportKind {
    if bit & 1 == 0 { TransportKind::Polling } else { TransportKind::WebSocket }
}

const PACKETS: [&str; 10] = ["0", "1", "2", "2probe", "3", "3probe", "4", "4text", "5", "6"];

const CONFIG: SessionConfig = SessionConfig {
    ping_interval: Duration::from_secs(5),
    ping_timeout: Duration::from_secs(3),
    upgrade_timeout: Duration::from_secs(2),
    allow_upgrades: true,
};
