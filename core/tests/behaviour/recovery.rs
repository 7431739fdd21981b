//! Connection state recovery, with the cases in which official servers fail.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use ferrio::{
    Config, Flags, HostEvent, OutboxLimits, Payload, Recovery, Selection, SlowReader, Socket, SocketKey,
    Writes,
};

use crate::support::{
    Client, SOON, TestServer, client::EntryPoint, eventually, http::Http, in_time, member, start,
};

fn recovering(recovery: Recovery) -> Config {
    Config { recovery: Some(recovery), ..Config::default() }
}

async fn start_recovering() -> TestServer {
    start(recovering(Recovery::default())).await
}

/// A client as the official one is: it remembers its private id, and any last argument that is a string.
struct Returning {
    client: Client,
    socket: Arc<Socket>,
    private_id: String,
    offset: Option<String>,
}

impl Returning {
    async fn new(test: &mut TestServer) -> Self {
        let mut client = test.open(EntryPoint::Channel).await;
        client.send("40").await;
        let socket = test.host.accept().await;
        let private_id = member(&client.text().await, "pid").to_owned();
        Self { client, socket, private_id, offset: None }
    }

    /// The next event, without its offset.
    async fn event(&mut self) -> String {
        let packet = self.client.text().await;
        let (event, last) = packet.rsplit_once(",\"").expect("an event ends with its offset");
        self.offset = Some(last.strip_suffix("\"]").expect("an offset is a string").to_owned());
        format!("{event}]")
    }

    /// Loses its connection.
    async fn lose(self, test: &mut TestServer) -> Lost {
        let rooms = self.socket.rooms();
        drop(self.client);
        let disconnected = test.host.disconnected().await;
        assert_eq!(disconnected.socket().rooms(), rooms, "`disconnecting` sees them");
        drop(disconnected);
        Lost {
            key: self.socket.key(),
            id: self.socket.id().clone(),
            private_id: self.private_id,
            offset: self.offset,
        }
    }
}

/// What a client knows that has lost its connection.
#[derive(Clone)]
struct Lost {
    key: SocketKey,
    id: Arc<str>,
    private_id: String,
    offset: Option<String>,
}

impl Lost {
    fn claim(&self) -> String {
        let offset = self.offset.as_ref().map_or(String::new(), |offset| format!(r#","offset":"{offset}""#));
        format!(r#"40{{"pid":"{}"{offset}}}"#, self.private_id)
    }

    /// Comes back and is recovered. Returns what it had missed.
    async fn recovered(self, test: &mut TestServer) -> (Returning, Vec<String>) {
        let mut client = test.open(EntryPoint::Channel).await;
        client.send(&self.claim()).await;
        let (socket, _, connect_request) = test.host.connect().await;
        assert_eq!((socket.recovered(), socket.id()), (Some(self.key), &self.id));
        connect_request.accept(&mut Writes::new()).unwrap();
        let mut back = Returning { client, socket, private_id: self.private_id, offset: self.offset };
        let mut missed = Vec::new();
        loop {
            let packet = back.client.text().await;
            if packet.starts_with("40") {
                assert_eq!(member(&packet, "sid"), &**back.socket.id());
                assert_eq!(member(&packet, "pid"), back.private_id);
                return (back, missed);
            }
            let (event, last) = packet.rsplit_once(",\"").expect("an event ends with its offset");
            back.offset = Some(last.trim_end_matches("\"]").to_owned());
            missed.push(format!("{event}]"));
        }
    }

    /// Comes back and is not recognized.
    async fn begins_anew(self, test: &mut TestServer) -> Client {
        let mut client = test.open(EntryPoint::Channel).await;
        client.send(&self.claim()).await;
        let socket = loop {
            match test.host.next().await {
                HostEvent::Forget { key } => assert_eq!(key, self.key),
                HostEvent::Connect { socket, connect_request, .. } => {
                    connect_request.accept(&mut Writes::new()).unwrap();
                    break socket;
                }
                other => panic!("{other:?}"),
            }
        };
        let connect = client.text().await;
        assert!(connect.starts_with("40"), "no missed events: {connect}");
        assert_ne!(member(&connect, "pid"), self.private_id);
        assert_ne!(socket.id(), &self.id);
        assert_eq!(socket.recovered(), None);
        client
    }
}

fn emit(test: &TestServer, selection: &Selection, number: usize) {
    let event = Payload::event("n", [number.to_string().as_str()]);
    test.main().emit(selection, &event, Flags::default(), &mut Writes::new());
}

#[tokio::test]
async fn rooms_left_while_the_disconnected_is_on_its_way_are_not_got_back() {
    let mut test = start_recovering().await;
    let client = Returning::new(&mut test).await;
    client.socket.join(["kept", "left"]);
    let Returning { client, socket, private_id, offset } = client;
    drop(client);
    let disconnected = test.host.disconnected().await;
    socket.leave("left");
    socket.join(["joined"]);
    drop(disconnected);
    let lost = Lost { key: socket.key(), id: socket.id().clone(), private_id, offset };
    let (back, _) = lost.recovered(&mut test).await;
    assert_eq!(back.socket.rooms()[1..], ["kept".into(), "joined".into()]);
}

/// An event that can be seen to be kept: as long as the returned handle is not the only one.
fn watched_event() -> (Payload, Arc<[u8]>) {
    let bytes: Arc<[u8]> = Arc::from(vec![7; 1000]);
    let text = r#"["watched",{"_placeholder":true,"num":0}]"#;
    (Payload::new(text, vec![Bytes::from_owner(bytes.clone())]), bytes)
}

/// Emits an event that can be watched. What is written must not count, so it goes to nobody who is there.
fn emit_watched(test: &TestServer) -> Arc<[u8]> {
    let (event, bytes) = watched_event();
    test.main().emit(&Selection::all().to("nobody"), &event, Flags::default(), &mut Writes::new());
    bytes
}

fn is_kept(bytes: &Arc<[u8]>) -> bool {
    Arc::strong_count(bytes) > 1
}

#[tokio::test]
async fn events_are_kept_only_while_somebody_could_miss_them() {
    let mut test = start_recovering().await;
    assert!(!is_kept(&emit_watched(&test)), "nobody is there");
    // Whoever wants to join may be sent something, but one who was refused may not come back.
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40").await;
    let (_, _, connect_request) = test.host.connect().await;
    let event = emit_watched(&test);
    assert!(is_kept(&event));
    connect_request.refuse("no", None, &mut Writes::new());
    assert!(!is_kept(&event));
    // Two clients: one leaves on purpose, the other is lost, comes back, and leaves then.
    let quitter = Returning::new(&mut test).await;
    let loser = Returning::new(&mut test).await;
    let event = emit_watched(&test);
    drop(quitter.socket.disconnect(true, &mut Writes::new()));
    assert_eq!(test.host.forgotten().await, quitter.socket.key());
    let lost = loser.lose(&mut test).await;
    assert!(is_kept(&event));
    let (mut back, _) = lost.recovered(&mut test).await;
    assert!(is_kept(&event));
    back.client.send("41").await;
    drop(test.host.disconnected().await);
    assert!(!is_kept(&event));
}

#[tokio::test]
async fn events_become_too_old_without_another_event() {
    let recovery = Recovery { max_disconnection_duration: SOON, ..Recovery::default() };
    let mut test = start(recovering(recovery)).await;
    let client = Returning::new(&mut test).await;
    let event = emit_watched(&test);
    eventually(|| !is_kept(&event)).await;
    let lost = client.lose(&mut test).await;
    let event = emit_watched(&test);
    assert_eq!(test.host.forgotten().await, lost.key);
    eventually(|| !is_kept(&event)).await;
}

#[tokio::test]
async fn who_missed_more_than_an_outbox_holds_begins_anew() {
    for policy in [SlowReader::Disconnect, SlowReader::DropOldest, SlowReader::DropNewest] {
        let outbox = OutboxLimits { max_bytes: 64 << 10, policy };
        let mut test = start(Config {
            engine: ferrio_engine::Config { outbox, ..recovering(Recovery::default()).engine },
            ..recovering(Recovery::default())
        })
        .await;
        let text = format!("\"{}\"", "x".repeat(1000));
        let event = Payload::event("large", [text.as_str(), "1"]);
        for (n_missed, is_too_much) in [(20, false), (100, true)] {
            let client = Returning::new(&mut test).await;
            let lost = client.lose(&mut test).await;
            for _ in 0..n_missed {
                test.main().emit(&Selection::all(), &event, Flags::default(), &mut Writes::new());
            }
            if is_too_much {
                let mut client = lost.begins_anew(&mut test).await;
                emit(&test, &Selection::all(), 1);
                assert!(client.text().await.starts_with(r#"42["n",1"#));
            } else {
                let (back, missed) = lost.recovered(&mut test).await;
                assert_eq!(missed.len(), n_missed, "{policy:?}");
                drop(back.lose(&mut test).await);
            }
        }
    }
}

#[tokio::test]
async fn who_has_more_rooms_than_are_kept_begins_anew() {
    let mut test = start(recovering(Recovery { max_bytes: 10_000, ..Recovery::default() })).await;
    let modest = Returning::new(&mut test).await;
    modest.socket.join(["a room"]);
    let greedy = Returning::new(&mut test).await;
    greedy.socket.join((0..1000).map(|number| format!("room {number}")));
    let (modest, key) = (modest.lose(&mut test).await, greedy.socket.key());
    let greedy = greedy.lose(&mut test).await;
    assert_eq!(test.host.forgotten().await, key);
    drop(greedy.begins_anew(&mut test).await);
    drop(test.host.disconnected().await);
    modest.recovered(&mut test).await;
}

#[tokio::test]
async fn a_client_that_is_lost_while_it_comes_back_may_come_back_once_more() {
    let mut test = start_recovering().await;
    let lost = Returning::new(&mut test).await.lose(&mut test).await;
    emit(&test, &Selection::all(), 0);
    let mut client = test.open(EntryPoint::Channel).await;
    client.send(&lost.claim()).await;
    let (socket, _, connect_request) = test.host.connect().await;
    drop(client);
    test.emptied().await;
    assert_eq!(test.host.connect_aborted().await.key(), socket.key());
    assert!(connect_request.accept(&mut Writes::new()).is_err());
    assert!(!socket.is_connected());
    let (_, missed) = lost.recovered(&mut test).await;
    assert_eq!(missed, numbers(0..1));
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!(r#"42["n",{number}]"#)).collect()
}

#[tokio::test]
async fn a_client_gets_its_id_rooms_and_missed_events_back() {
    let mut test = start_recovering().await;
    let mut client = Returning::new(&mut test).await;
    client.socket.join(["room"]);
    emit(&test, &Selection::all(), 0);
    assert_eq!(client.event().await, r#"42["n",0]"#);
    let lost = client.lose(&mut test).await;
    let own = lost.id.clone();
    for (number, selection) in [
        Selection::all(),
        Selection::all().to("room"),
        Selection::all().to("elsewhere"),
        Selection::all().except("room"),
        Selection::all().to(own),
        Selection::all().to("room").to("elsewhere").except("elsewhere"),
    ]
    .iter()
    .enumerate()
    {
        emit(&test, selection, number);
    }
    let (back, missed) = lost.recovered(&mut test).await;
    assert_eq!(missed, [0, 1, 4, 5].map(|number| format!(r#"42["n",{number}]"#)));
    assert!(back.socket.rooms().iter().any(|room| *room == "room".into()));
    assert_eq!(test.server.metrics().socket_io.recovered, 1);
    test.host.assert_silent();
}

#[tokio::test]
async fn a_client_that_saw_no_event_yet_misses_none() {
    let mut test = start_recovering().await;
    emit(&test, &Selection::all(), 100);
    let lost = Returning::new(&mut test).await.lose(&mut test).await;
    assert!(lost.offset.is_none());
    (0..3).for_each(|number| emit(&test, &Selection::all(), number));
    assert_eq!(lost.recovered(&mut test).await.1, numbers(0..3), "nothing from before it came");
}

#[tokio::test]
async fn a_client_that_was_idle_for_long_is_recovered() {
    let mut test = start(recovering(Recovery { max_packets: 10, ..Recovery::default() })).await;
    let mut client = Returning::new(&mut test).await;
    emit(&test, &Selection::all(), 0);
    client.event().await;
    // Much happens for others, so that its offset is no longer kept.
    (0..100).for_each(|number| emit(&test, &Selection::all().to("others"), number));
    let lost = client.lose(&mut test).await;
    emit(&test, &Selection::all(), 1);
    assert_eq!(lost.recovered(&mut test).await.1, numbers(1..2));
}

#[tokio::test]
async fn a_second_recovery_repeats_nothing() {
    let mut test = start_recovering().await;
    let mut client = Returning::new(&mut test).await;
    for round in 0..4 {
        let lost = client.lose(&mut test).await;
        let first = round * 3;
        (first..first + 3).for_each(|number| emit(&test, &Selection::all(), number));
        let (back, missed) = lost.recovered(&mut test).await;
        assert_eq!(missed, numbers(first..first + 3));
        client = back;
    }
    let (_client, missed) = client.lose(&mut test).await.recovered(&mut test).await;
    assert!(missed.is_empty(), "{missed:?}");
    test.host.assert_silent();
}

#[tokio::test]
async fn a_clients_string_is_not_taken_for_an_offset() {
    let mut test = start_recovering().await;
    let mut client = Returning::new(&mut test).await;
    for flags in [Flags::default(), Flags { volatile: true, ..Flags::default() }] {
        let text = Payload::event("text", [r#""not an offset""#]);
        client.socket.emit(&text, flags, &mut Writes::new());
        assert_eq!(client.event().await, r#"42["text","not an offset"]"#);
    }
    let lost = client.lose(&mut test).await;
    emit(&test, &Selection::all(), 1);
    let volatile = Flags { volatile: true, ..Flags::default() };
    test.main().emit(&Selection::all(), &Payload::event("v", []), volatile, &mut Writes::new());
    assert_eq!(lost.recovered(&mut test).await.1, numbers(1..2), "volatile events are not kept");
}

#[tokio::test]
async fn a_private_id_works_once() {
    let mut test = start_recovering().await;
    let lost = Returning::new(&mut test).await.lose(&mut test).await;
    let (_first, _) = lost.clone().recovered(&mut test).await;
    let _anew = lost.begins_anew(&mut test).await;
}

#[tokio::test]
async fn a_client_that_comes_too_late_begins_anew_and_is_forgotten_once() {
    let recovery = Recovery { max_disconnection_duration: SOON, ..Recovery::default() };
    let mut test = start(recovering(recovery)).await;
    let lost = Returning::new(&mut test).await.lose(&mut test).await;
    assert_eq!(test.host.forgotten().await, lost.key);
    let _anew = lost.begins_anew(&mut test).await;
    test.host.assert_silent();
}

#[tokio::test]
async fn a_client_that_missed_more_than_is_kept_begins_anew() {
    let by_number = Recovery { max_packets: 10, ..Recovery::default() };
    let by_bytes = Recovery { max_bytes: 100, ..Recovery::default() };
    for recovery in [by_number, by_bytes] {
        let mut test = start(recovering(recovery)).await;
        let lost = Returning::new(&mut test).await.lose(&mut test).await;
        (0..100).for_each(|number| emit(&test, &Selection::all(), number));
        let _anew = lost.begins_anew(&mut test).await;
        test.host.assert_silent();
    }
}

#[tokio::test]
async fn sessions_are_bounded_and_the_oldest_goes_first() {
    let mut test = start(recovering(Recovery { max_sessions: 2, ..Recovery::default() })).await;
    let mut lost = Vec::new();
    for _ in 0..2 {
        lost.push(Returning::new(&mut test).await.lose(&mut test).await);
    }
    let third = Returning::new(&mut test).await;
    drop(third.client);
    let oldest = lost.remove(0);
    assert_eq!(test.host.forgotten().await, oldest.key);
    assert_eq!(test.host.reason().await, "transport close");
    let _anew = oldest.begins_anew(&mut test).await;
    let mut kept = Vec::new();
    for lost in lost {
        kept.push(lost.recovered(&mut test).await);
    }
}

#[tokio::test]
async fn who_left_on_purpose_or_was_sent_away_is_forgotten_at_once() {
    let mut test = start_recovering().await;
    let mut client = Returning::new(&mut test).await;
    client.client.send("41").await;
    test.host.disconnected().await.finish();
    assert_eq!(test.host.forgotten().await, client.socket.key());
    let client = Returning::new(&mut test).await;
    drop(client.socket.disconnect(true, &mut Writes::new()));
    assert_eq!(test.host.forgotten().await, client.socket.key());
    test.host.assert_silent();
}

#[tokio::test]
async fn claims_that_are_wrong_are_no_claims() {
    for wrong in [
        r#"{"pid":"unknown"}"#,
        r#"{"pid":7,"offset":{}}"#,
        r#"{"pid":"PID","offset":"other-1"}"#,
        r#"{"pid":"PID","offset":"EPOCH-ffffffff"}"#,
        r#"{"pid":"PID","offset":"EPOCH--1"}"#,
        r#"{"pid":"PID","offset":""}"#,
        r#"{"pid":"PID","offset":"EPOCH-11111111111111111111"}"#,
    ] {
        let mut test = start_recovering().await;
        let mut client = Returning::new(&mut test).await;
        emit(&test, &Selection::all(), 0);
        client.event().await;
        let lost = client.lose(&mut test).await;
        let offset = lost.offset.clone().unwrap();
        let epoch = offset.rsplit_once('-').unwrap().0;
        let mut client = test.open(EntryPoint::Channel).await;
        client.send(&format!("40{}", wrong.replace("PID", &lost.private_id).replace("EPOCH", epoch))).await;
        let socket = loop {
            match test.host.next().await {
                HostEvent::Forget { key } => assert_eq!(key, lost.key, "{wrong}"),
                HostEvent::Connect { socket, .. } => break socket,
                other => panic!("{wrong}: {other:?}"),
            }
        };
        assert_eq!(socket.recovered(), None, "{wrong}");
    }
}

#[tokio::test]
async fn a_recovered_client_may_be_refused_and_then_is_forgotten() {
    let mut test = start_recovering().await;
    let lost = Returning::new(&mut test).await.lose(&mut test).await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send(&lost.claim()).await;
    let (socket, _, connect_request) = test.host.connect().await;
    assert_eq!(socket.recovered(), Some(lost.key));
    connect_request.refuse("banned meanwhile", None, &mut Writes::new());
    assert_eq!(client.text().await, r#"44{"message":"banned meanwhile"}"#);
    assert_eq!(test.host.forgotten().await, lost.key);
    let _anew = lost.begins_anew(&mut test).await;
}

#[tokio::test]
async fn older_clients_get_no_offsets() {
    let config = Config {
        engine: ferrio_engine::Config { allow_eio3: true, ..recovering(Recovery::default()).engine },
        ..recovering(Recovery::default())
    };
    let mut test = start(config).await;
    let mut older = Client::poll(Http::memory(&test), "EIO=3&transport=polling").await;
    let socket = test.host.accept().await;
    assert_eq!(older.text().await, "40");
    let mut newer = Returning::new(&mut test).await;
    emit(&test, &Selection::all(), 1);
    assert_eq!(older.text().await, r#"42["n",1]"#);
    assert_eq!(newer.event().await, r#"42["n",1]"#);
    assert!(newer.offset.is_some());
    socket.emit(&Payload::event("own", [r#""text""#]), Flags::default(), &mut Writes::new());
    assert_eq!(older.text().await, r#"42["own","text"]"#);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_events_flow() {
    let mut test = start_recovering().await;
    let mut client = Returning::new(&mut test).await;
    let main = test.main();
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    // Never so far ahead that an event which was missed is no longer kept.
    let seen = Arc::new(AtomicUsize::new(1000));
    let allowed = seen.clone();
    let emitting = std::thread::spawn(move || {
        let mut number = 0;
        while stopped.try_recv().is_err() {
            std::thread::yield_now();
            if number >= allowed.load(Ordering::Relaxed) {
                continue;
            }
            let event = Payload::event("n", [number.to_string().as_str()]);
            main.emit(&Selection::all(), &event, Flags::default(), &mut Writes::new());
            number += 1;
        }
    });
    let mut next: Option<usize> = None;
    let mut see = |event: String| {
        let number: usize = event[7..event.len() - 1].parse().unwrap();
        assert!(next.is_none_or(|next| next == number), "{number} instead of {next:?}");
        next = Some(number + 1);
        seen.store(number + 1000, Ordering::Relaxed);
    };
    for _ in 0..10 {
        for _ in 0..20 {
            let event = in_time(client.event()).await;
            see(event);
        }
        let lost = client.lose(&mut test).await;
        let (back, missed) = lost.recovered(&mut test).await;
        missed.into_iter().for_each(&mut see);
        client = back;
    }
    stop.send(()).unwrap();
    emitting.join().unwrap();
}

#[tokio::test]
async fn a_session_that_still_seems_open_is_not_recovered() {
    // Its own earlier connection is half open: the server has not noticed its end.
    let mut test = start_recovering().await;
    let client = Returning::new(&mut test).await;
    let lost = Lost {
        key: client.socket.key(),
        id: client.socket.id().clone(),
        private_id: client.private_id.clone(),
        offset: None,
    };
    let mut again = test.open(EntryPoint::Channel).await;
    again.send(&lost.claim()).await;
    let (socket, _, connect_request) = test.host.connect().await;
    assert_eq!(socket.recovered(), None, "a session in use is nobody's to take");
    connect_request.accept(&mut Writes::new()).unwrap();
    assert!(client.socket.is_connected());
}
