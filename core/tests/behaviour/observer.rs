//! What an observer is shown.

use ferrio::{Flags, Observed, Observer, Payload, Selection, Writes};

use crate::support::{client::EntryPoint, in_time, start_default};

/// Everything that has been noted, each in a few words.
fn taken(observer: &Observer) -> Vec<String> {
    let (observations, has_lost) = observer.take();
    assert!(!has_lost);
    observations.into_iter().map(|observation| in_words(&observation.what)).collect()
}

fn in_words(observed: &Observed) -> String {
    match observed {
        Observed::Connected(socket, _) => format!("{} connected", socket.namespace().name()),
        Observed::Disconnected(_, reason) => format!("disconnected: {reason}"),
        Observed::Joined(change) if change.room.as_text() == Some(&change.socket) => {
            "joined its own".to_owned()
        }
        Observed::Left(change) if change.room.as_text() == Some(&change.socket) => "left its own".to_owned(),
        Observed::Joined(change) => format!("joined {}", change.room),
        Observed::Left(change) => format!("left {}", change.room),
        Observed::Received(_, payload) => format!("received {}", payload.text()),
        Observed::Sent(_, payload) => format!("sent {}", payload.text()),
        _ => String::new(),
    }
}

#[tokio::test]
async fn an_observer_is_shown_what_happens_in_its_order() {
    let mut test = start_default().await;
    let (_unseen, before) = test.join(EntryPoint::Channel).await;
    before.join(["unseen"]);
    let observer = test.server.observe();
    let (mut client, socket) = test.join(EntryPoint::Listen).await;
    socket.join(["a", "a"]);
    socket.leave("b");
    client.send(r#"42["hello",1]"#).await;
    test.host.event().await;
    in_time(observer.noted()).await;
    let event = Payload::event("news", ["2"]);
    test.main().emit(&Selection::all().to("a"), &event, Flags::default(), &mut Writes::new());
    socket.emit(&event, Flags::default(), &mut Writes::new());
    socket.leave("a");
    for disconnected in socket.disconnect(false, &mut Writes::new()) {
        disconnected.finish();
    }
    assert_eq!(
        taken(&observer),
        [
            "joined its own",
            "/ connected",
            "joined a",
            r#"received ["hello",1]"#,
            r#"sent ["news",2]"#,
            r#"sent ["news",2]"#,
            "left a",
            "disconnected: server namespace disconnect",
            "left its own",
        ]
    );
}

#[tokio::test]
async fn hidden_events_are_not_shown_and_nothing_is_after_the_end() {
    let mut test = start_default().await;
    let observer = test.server.observe();
    test.main().hide_events();
    let (mut client, socket) = test.join(EntryPoint::Channel).await;
    client.send(r#"42["hello"]"#).await;
    test.host.event().await;
    socket.emit(&Payload::event("news", []), Flags::default(), &mut Writes::new());
    assert_eq!(taken(&observer), ["joined its own", "/ connected"]);
    drop(observer);
    socket.join(["a"]);
    assert_eq!(taken(&test.server.observe()), [""; 0]);
}

#[tokio::test]
async fn closed_sessions_are_counted_by_reason() {
    let mut test = start_default().await;
    let (client, _socket) = test.join(EntryPoint::Listen).await;
    drop(client);
    test.host.disconnected().await.finish();
    let (_client, socket) = test.join(EntryPoint::Listen).await;
    socket.disconnect(true, &mut Writes::new());
    test.emptied().await;
    let metrics = test.server.metrics().engine;
    let closed: Vec<_> = metrics
        .closed()
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(reason, n)| (reason.as_str(), n))
        .collect();
    assert_eq!(closed, [("transport close", 1), ("forced close", 1)]);
    assert_eq!(metrics.connections_closed, 2);
}
