//! Rooms: who is in them, who is meant, and what the host hears of their changes.

use std::sync::Arc;

use ferrio::{Flags, Namespace, Payload, Room, Selection, Socket, Writes};

use crate::support::{Client, TestServer, client::EntryPoint, start_default};

/// Three clients: the first in `a`, the second in `a` and `b`, the third in none.
async fn three(test: &mut TestServer) -> Vec<(Client, Arc<Socket>)> {
    let mut clients = Vec::new();
    for (entry_point, rooms) in
        [(EntryPoint::Channel, vec!["a"]), (EntryPoint::Listen, vec!["a", "b"]), (EntryPoint::Handle, vec![])]
    {
        let (client, socket) = test.join(entry_point).await;
        socket.join(rooms);
        clients.push((client, socket));
    }
    clients
}

/// The positions, among the three, of those who are meant.
fn meant(namespace: &Namespace, selection: &Selection, clients: &[(Client, Arc<Socket>)]) -> Vec<usize> {
    let mut positions: Vec<_> = namespace
        .select(selection)
        .iter()
        .map(|socket| clients.iter().position(|(_, known)| known.key() == socket.key()).unwrap())
        .collect();
    positions.sort_unstable();
    positions
}

#[tokio::test]
async fn a_selection_means_each_socket_once() {
    let mut test = start_default().await;
    let mut clients = three(&mut test).await;
    let third = clients[2].1.id().clone();
    let cases = [
        (Selection::all(), vec![0, 1, 2]),
        (Selection::all().to("a"), vec![0, 1]),
        (Selection::all().to("a").to("b"), vec![0, 1]),
        (Selection::all().to("b").to(third.clone()), vec![1, 2]),
        (Selection::all().to("a").except("b"), vec![0]),
        (Selection::all().except("a"), vec![2]),
        (Selection::all().except(third.clone()), vec![0, 1]),
        (Selection::all().to("nobody"), vec![]),
        (Selection::all().to("a").except("a"), vec![]),
        (Selection::all().except("nobody"), vec![0, 1, 2]),
    ];
    for (number, (selection, expected)) in cases.into_iter().enumerate() {
        assert_eq!(meant(&test.main(), &selection, &clients), expected, "{selection:?}");
        let event = Payload::event("n", [number.to_string().as_str()]);
        test.main().emit(&selection, &event, Flags::default(), &mut Writes::new());
        // Everybody gets a last event, so that one too many would be seen.
        test.main().emit(&Selection::all(), &Payload::event("end", []), Flags::default(), &mut Writes::new());
        for (position, (client, _)) in clients.iter_mut().enumerate() {
            if expected.contains(&position) {
                assert_eq!(client.text().await, format!(r#"42["n",{number}]"#), "{selection:?}");
            }
            assert_eq!(client.text().await, r#"42["end"]"#, "{selection:?}, client {position}");
        }
    }
}

#[tokio::test]
async fn rooms_are_joined_and_left_at_once() {
    let mut test = start_default().await;
    let (_client, socket) = test.join(EntryPoint::Channel).await;
    let own = socket.id().clone();
    let rooms = |socket: &Socket| socket.rooms().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(rooms(&socket), [&*own]);
    socket.join(["a", "b", "a"]);
    assert_eq!(rooms(&socket), [&*own, "a", "b"]);
    socket.leave("a");
    socket.leave("never joined");
    assert_eq!(rooms(&socket), [&*own, "b"]);
    assert_eq!(test.main().members("b").len(), 1);
    assert!(test.main().members("a").is_empty());
    socket.leave(own.clone());
    assert_eq!(rooms(&socket), ["b"]);
    assert!(test.main().select(&Selection::all().to(own)).is_empty());
}

#[tokio::test]
async fn a_socket_may_be_in_very_many_rooms() {
    let mut test = start_default().await;
    let (_client, socket) = test.join(EntryPoint::Channel).await;
    let (_other, leaver) = test.join(EntryPoint::Channel).await;
    let rooms: Vec<Room> = (0..100_000).map(|number| format!("room {number}").into()).collect();
    socket.join(rooms.iter().chain(&rooms).cloned());
    leaver.join(rooms.clone());
    assert_eq!(socket.rooms()[1..], rooms);
    assert!(socket.is_in("room 7") && !socket.is_in("room"));
    let everywhere = Selection { rooms: rooms.iter().chain(&rooms).cloned().collect(), ..Selection::all() };
    assert_eq!(test.main().select(&everywhere).len(), 2);
    let nowhere = Selection { except: everywhere.rooms.clone(), ..Selection::all() };
    assert!(test.main().select(&nowhere).is_empty());
    // In the order of joining, against it, and with all at once.
    for room in &rooms[..50_000] {
        socket.leave(room.clone());
    }
    for room in rooms[50_001..].iter().rev() {
        socket.leave(room.clone());
    }
    assert_eq!(socket.rooms()[1..], rooms[50_000..50_001]);
    drop(leaver.disconnect(false, &mut Writes::new()));
    assert_eq!(test.main().rooms().len(), 2, "its own and the one that is left");
}

#[tokio::test]
async fn a_client_that_is_not_let_in_yet_may_have_very_many_rooms() {
    let mut test = start_default().await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40").await;
    let (socket, _, connect_request) = test.host.connect().await;
    let rooms: Vec<Room> = (0..100_000).map(|number| format!("room {number}").into()).collect();
    socket.join(rooms.iter().chain(&rooms).cloned());
    for room in rooms[1..].iter().rev() {
        socket.leave(room.clone());
    }
    assert_eq!(socket.rooms(), rooms[..1]);
    assert!(socket.is_meant(&Selection::all().to(socket.id().clone())));
    assert!(!socket.is_meant(&Selection::all().except("room 0")));
    connect_request.accept(&mut Writes::new()).unwrap();
    assert_eq!(socket.rooms(), [socket.id().clone().into(), rooms[0].clone()]);
}

#[tokio::test]
async fn many_sockets_join_leave_and_go_together() {
    let mut test = start_default().await;
    let mut clients = three(&mut test).await;
    let main = test.main();
    main.join(&Selection::all().to("a"), &["c".into(), "d".into()], false);
    assert_eq!(meant(&main, &Selection::all().to("c"), &clients), [0, 1]);
    main.leave(&Selection::all().to("b"), &["c".into()], false);
    assert_eq!(meant(&main, &Selection::all().to("c"), &clients), [0]);
    assert_eq!(meant(&main, &Selection::all().to("d"), &clients), [0, 1]);
    let disconnected_sockets = main.disconnect(&Selection::all().to("a"), false, false, &mut Writes::new());
    assert_eq!(disconnected_sockets.len(), 2);
    drop(disconnected_sockets);
    assert_eq!(main.n_sockets(), 1);
    for (client, _) in &mut clients[..2] {
        assert_eq!(client.text().await, "41");
    }
    assert!(clients[2].1.is_connected());
}

#[tokio::test]
async fn another_sockets_id_is_a_room_like_any_other() {
    let mut test = start_default().await;
    let clients = three(&mut test).await;
    let first = clients[0].1.id().clone();
    clients[1].1.join([first.clone()]);
    assert_eq!(meant(&test.main(), &Selection::all().to(first), &clients), [0, 1]);
}
