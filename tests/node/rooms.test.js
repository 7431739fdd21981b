"use strict";

const { inspect } = require("node:util");
const {
  POLLING,
  WEBSOCKET,
  UPGRADE,
  barrier,
  eventually,
  join,
  once,
  record,
  startServer,
} = require("./support");

/** Starts a server with `count` connected pairs whose clients record what they hear in `heard`. */
async function startWith(count, options) {
  const server = await startServer(options);
  const pairs = [];
  for (let n = 0; n < count; n += 1) {
    const pair = await server.pair();
    pairs.push({ ...pair, heard: record(pair.client) });
  }
  return { server, pairs, io: server.io };
}

/** What each client heard since the last call, as a list of event names. */
async function names(pairs) {
  await barrier(...pairs.map(({ client }) => client));
  return pairs.map(({ heard }) => heard.splice(0).map(([event]) => event));
}

describe("rooms", () => {
  test("a socket is in the room of its own id from the start", async () => {
    const server = await startServer();
    const seen = [];
    server.io.on("connection", (socket) => seen.push([socket.id, [...socket.rooms]]));
    const { socket } = await server.pair();
    expect(seen).toEqual([[socket.id, [socket.id]]]);
    expect(socket.rooms).toBeInstanceOf(Set);
  });

  test("a room's members hear what is sent to it and others do not", async () => {
    const { io, pairs } = await startWith(3);
    pairs[0].socket.join("room");
    pairs[1].socket.join("room");
    io.to("room").emit("to room", { n: 1 }, [2]);
    io.in("room").emit("in room");
    expect(await names(pairs)).toEqual([["to room", "in room"], ["to room", "in room"], []]);
  });

  test("joining and leaving take effect when the call returns", async () => {
    const { io, pairs } = await startWith(2);
    const [{ socket }] = pairs;
    socket.join("room");
    expect([...socket.rooms]).toEqual([socket.id, "room"]);
    io.to("room").emit("inside");
    socket.leave("room");
    expect([...socket.rooms]).toEqual([socket.id]);
    io.to("room").emit("outside");
    expect(await names(pairs)).toEqual([["inside"], []]);
  });

  test("joining several rooms at once", async () => {
    const { io, pairs } = await startWith(1);
    const [{ socket }] = pairs;
    await socket.join(["a", "b", "c"]);
    await socket.join(["c", "d"]);
    await socket.leave("b");
    expect([...socket.rooms].sort()).toEqual([socket.id, "a", "c", "d"].sort());
    for (const room of ["a", "b", "c", "d"]) io.to(room).emit(room);
    expect(await names(pairs)).toEqual([["a", "c", "d"]]);
  });

  test("a receiver in several addressed rooms gets the event once", async () => {
    const { io, pairs } = await startWith(2);
    pairs[0].socket.join(["a", "b", "c"]);
    pairs[1].socket.join("b");
    io.to("a").to("b").to(["c", "a"]).emit("once");
    io.to(pairs[0].socket.id).in("a").emit("private");
    expect(await names(pairs)).toEqual([["once", "private"], ["once"]]);
  });

  test("leaving a room that was never joined does nothing", async () => {
    const { io, pairs } = await startWith(2);
    pairs[0].socket.join("room");
    pairs[1].socket.leave("room");
    pairs[1].socket.leave("unknown");
    io.to("room").emit("still");
    expect(await names(pairs)).toEqual([["still"], []]);
    expect([...pairs[1].socket.rooms]).toEqual([pairs[1].socket.id]);
  });

  test("a socket that sends to a room does not hear itself", async () => {
    const { pairs } = await startWith(3);
    pairs[0].socket.join("room");
    pairs[1].socket.join("room");
    pairs[0].socket.to("room").emit("from member");
    pairs[2].socket.to("room").emit("from outside");
    expect(await names(pairs)).toEqual([["from outside"], ["from member", "from outside"], []]);
  });

  test("a socket that broadcasts reaches everybody but itself", async () => {
    const { pairs } = await startWith(3);
    pairs[1].socket.broadcast.emit("all but me");
    expect(await names(pairs)).toEqual([["all but me"], [], ["all but me"]]);
  });

  test("a private message goes by the own room of another socket", async () => {
    const { io, pairs } = await startWith(3);
    pairs[0].socket.to(pairs[2].socket.id).emit("private");
    io.to(pairs[1].socket.id).emit("from server");
    expect(await names(pairs)).toEqual([[], ["from server"], ["private"]]);
  });

  test("except leaves out a room's members", async () => {
    const { io, pairs } = await startWith(3);
    pairs[0].socket.join("muted");
    pairs[1].socket.join(["muted", "room"]);
    pairs[2].socket.join("room");
    io.except("muted").emit("loud");
    io.to("room").except("muted").emit("loud room");
    pairs[0].socket.except(pairs[1].socket.id).emit("from first");
    io.except(["muted", pairs[2].socket.id]).emit("nobody");
    expect(await names(pairs)).toEqual([[], [], ["loud", "loud room", "from first"]]);
  });

  test("to, in and except combine and later calls do not alter earlier operators", async () => {
    const { io, pairs } = await startWith(3);
    pairs.forEach(({ socket }, n) => socket.join([`only ${n}`, "all"]));
    const first = io.to("only 0");
    const both = first.in("only 1");
    const all = io.to("all");
    const some = all.except("only 1");
    first.emit("first");
    both.emit("both");
    some.emit("some");
    all.emit("all");
    io.emit("everybody");
    expect(await names(pairs)).toEqual([
      ["first", "both", "some", "all", "everybody"],
      ["both", "all", "everybody"],
      ["some", "all", "everybody"],
    ]);
  });

  test("an unknown room reaches nobody", async () => {
    const { io, pairs } = await startWith(2);
    io.to("unknown").emit("lost");
    pairs[0].socket.to("unknown").emit("lost");
    io.to("").emit("lost");
    expect(await names(pairs)).toEqual([[], []]);
  });

  test("numbers work as rooms", async () => {
    const { io, pairs } = await startWith(2);
    pairs[0].socket.join(42);
    io.to(42).emit("to number");
    io.except(42).emit("except number");
    expect(pairs[0].socket.rooms.has(42)).toBe(true);
    expect(await names(pairs)).toEqual([["to number"], ["except number"]]);
  });

  test("a text enters no room that is not the very same text", async () => {
    const { io, pairs } = await startWith(2);
    const [{ socket: chosen }, { socket: joined }] = pairs;
    const values = [
      42,
      0.5,
      Number.NaN,
      Infinity,
      7n,
      true,
      null,
      undefined,
      {},
      () => {},
      Symbol("s"),
      "\ud800",
    ];
    joined.join(values);
    // What a hostile client may send as a room's name, where the application joins what clients name.
    const texts = values.flatMap((value) => [
      String(value),
      `"${String(value)}"`,
      `["${String(value)}"]`,
      `\0number:${String(value)}`,
      `\0other:${String(value)}`,
    ]);
    texts.push("\ufffd", "\ud83d", "\udc00", "[1]", '["42"]', "\\ud800", "", "\0");
    for (const text of texts) if (text !== "\ud800") chosen.join(text);
    for (let n = 0; n < 300; n += 1) chosen.join([`${n}`, `[${n}]`]);
    for (const value of values) io.to(value).emit("secret");
    expect(await names(pairs)).toEqual([[], values.map(() => "secret")]);
  });

  test("any value is a room of its own and comes back as it was", async () => {
    const { io, pairs } = await startWith(1);
    const [{ socket }] = pairs;
    const object = { of: "the application" };
    const symbol = Symbol("room");
    const values = [42, "42", 42n, 2 ** 53, 5e-324, 1e21, -1.5, Number.NaN, Infinity, -Infinity];
    values.push(true, false, null, undefined, object, {}, symbol, () => {}, "\ud800", "\udfff", "\ufffd", "");
    socket.join(values);
    expect([...socket.rooms]).toEqual([socket.id, ...values]);
    expect(socket.rooms.has(object)).toBe(true);
    expect(io.of("/").adapter.rooms.get(symbol)).toEqual(new Set([socket.id]));
    expect(new Set(io.of("/").adapter.rooms.keys())).toEqual(new Set([socket.id, ...values]));
    expect((await io.in(object).fetchSockets()).map(({ id }) => id)).toEqual([socket.id]);
    expect(await io.in({ of: "the application" }).fetchSockets()).toEqual([]);
    socket.join([-0, 0]);
    io.in(object).socketsLeave(values.slice(0, 10));
    expect([...socket.rooms]).toEqual([socket.id, ...values.slice(10), 0]);
    for (const value of values.slice(10)) socket.leave(value);
    socket.leave(-0);
    expect([...socket.rooms]).toEqual([socket.id]);
  });

  test("values that were rooms once do not pile up, and those in use stay rooms", async () => {
    const { io, pairs } = await startWith(1);
    const [{ socket }] = pairs;
    const kept = {};
    socket.join(kept);
    for (let n = 0; n < 5000; n += 1) {
      const passing = {};
      socket.join(passing);
      socket.leave(passing);
    }
    expect([...socket.rooms]).toEqual([socket.id, kept]);
    io.to(kept).emit("still there");
    expect(await names(pairs)).toEqual([["still there"]]);
  });

  test("a socket's rooms are one set, which follows what is joined and left", async () => {
    const { io, pairs } = await startWith(2);
    const [{ socket }, { socket: other }] = pairs;
    const { rooms } = socket;
    socket.join(["a", "b"]);
    socket.leave("a");
    expect([...rooms]).toEqual([socket.id, "b"]);
    io.socketsJoin("all");
    io.in(other.id).socketsLeave("all");
    expect([...socket.rooms]).toEqual([socket.id, "b", "all"]);
    expect([...other.rooms]).toEqual([other.id]);
    for (const room of socket.rooms) socket.leave(room);
    expect([...socket.rooms]).toEqual([]);
    other.join("after");
    expect([...other.rooms]).toEqual([other.id, "after"]);
  });

  test("a client that names very many rooms enters and leaves them all", async () => {
    const { io, pairs } = await startWith(1);
    const [{ socket, client }] = pairs;
    socket.on("enter", (room, done) => {
      if (!socket.rooms.has(room)) socket.join(room);
      done(socket.rooms.size);
    });
    socket.on("leave", (room, done) => {
      if (socket.rooms.has(room)) socket.leave(room);
      done(socket.rooms.size);
    });
    const named = Array.from({ length: 5000 }, (_, n) => `room ${n}`);
    const sizes = await Promise.all(named.map((room) => client.emitWithAck("enter", room)));
    expect(sizes[4999]).toBe(5001);
    expect(io.of("/").adapter.rooms.size).toBe(5001);
    await Promise.all(named.map((room) => client.emitWithAck("leave", room)));
    expect([...socket.rooms]).toEqual([socket.id]);
    expect(io.of("/").adapter.rooms.size).toBe(1);
  });

  test("rooms are complete in disconnecting and empty in disconnect", async () => {
    const { pairs } = await startWith(1);
    const [{ client, socket }] = pairs;
    socket.join(["a", "b"]);
    const seen = [];
    socket.on("disconnecting", () => seen.push([...socket.rooms].sort()));
    const gone = once(socket, "disconnect");
    socket.on("disconnect", () => seen.push([...socket.rooms]));
    client.disconnect();
    await gone;
    expect(seen).toEqual([[socket.id, "a", "b"].sort(), []]);
  });

  test("a room without members is gone", async () => {
    const { io, pairs } = await startWith(2);
    const { adapter } = io.of("/");
    pairs[0].socket.join("room");
    expect(adapter.rooms.get("room")).toEqual(new Set([pairs[0].socket.id]));
    expect(adapter.sids.get(pairs[0].socket.id)).toEqual(new Set([pairs[0].socket.id, "room"]));
    pairs[1].socket.join("room");
    pairs[0].socket.leave("room");
    expect(adapter.rooms.has("room")).toBe(true);
    pairs[1].client.disconnect();
    await eventually(() => !adapter.rooms.has("room"));
    expect([...adapter.rooms.keys()]).toEqual([pairs[0].socket.id]);
    expect([...adapter.sids.keys()]).toEqual([pairs[0].socket.id]);
  });

  test("a room's members are one set, which follows who joins and leaves", async () => {
    const { server, io, pairs } = await startWith(3);
    const [first, second, third] = pairs.map(({ socket }) => socket);
    const { rooms, sids } = io.of("/").adapter;
    first.join(["room", "other"]);
    const members = rooms.get("room");
    second.join("room");
    expect(rooms.get(third.id)).toEqual(new Set([third.id]));
    expect(rooms.get("room")).toBe(members);
    expect([...members]).toEqual([first.id, second.id]);
    expect([rooms.size, sids.size]).toEqual([5, 3]);
    expect(inspect(rooms.get("room"))).toContain(second.id);
    expect(inspect(rooms)).toContain(second.id);

    // What is joined in a middleware counts when the client is let in.
    io.use((socket, next) => {
      socket.join("room");
      if (socket.handshake.auth.isRefused) next(new Error("no"));
      else next();
    });
    await once(server.client("/", { auth: { isRefused: true } }), "connect_error");
    const { socket: fourth } = await server.pair();
    expect([...rooms.get("room")]).toEqual([first.id, second.id, fourth.id]);

    io.in(third.id).socketsJoin("room");
    expect(rooms.get("room").has(third.id)).toBe(true);
    io.in(third.id).socketsLeave("room");
    expect(rooms.get("room").has(third.id)).toBe(false);
    first.leave("room");
    second.disconnect();
    expect([...rooms.get("room")]).toEqual([fourth.id]);
    fourth.disconnect(true);
    expect(rooms.get("room")).toBeUndefined();
    expect([rooms.size, sids.size]).toEqual([3, 2]);
    third.join("room");
    expect([...rooms.get("room")]).toEqual([third.id]);
    await server.close();
    expect([rooms.size, sids.size, rooms.get("room")]).toEqual([0, 0, undefined]);
  });

  test("room events tell create, join, leave and delete", async () => {
    const { io, pairs } = await startWith(2);
    const [first, second] = pairs.map(({ socket }) => socket);
    const told = [];
    for (const event of ["create-room", "join-room", "leave-room", "delete-room"]) {
      io.of("/").adapter.on(event, (...args) => told.push([event, ...args]));
    }
    first.join("room");
    first.join("room");
    second.join("room");
    first.leave("room");
    expect(told.splice(0)).toEqual([
      ["create-room", "room"],
      ["join-room", "room", first.id],
      ["join-room", "room", second.id],
      ["leave-room", "room", first.id],
    ]);
    pairs[1].client.disconnect();
    await eventually(() => told.length === 4);
    expect(told).toEqual(
      expect.arrayContaining([
        ["leave-room", "room", second.id],
        ["delete-room", "room"],
        ["leave-room", second.id, second.id],
        ["delete-room", second.id],
      ]),
    );
  });

  test("rooms of namespaces with the same name are separate", async () => {
    const server = await startServer();
    const main = await server.pair();
    const chat = await server.pair("/chat");
    const heard = [record(main.client), record(chat.client)];
    main.socket.join("room");
    chat.socket.join("room");
    server.io.to("room").emit("main");
    server.io.of("/chat").to("room").emit("chat");
    await barrier(main.client, chat.client);
    expect(heard).toEqual([[["main"]], [["chat"]]]);
  });

  test("local, volatile, compress and timeout combine with rooms", async () => {
    const { io, pairs } = await startWith(2);
    pairs[0].socket.join("room");
    pairs[0].client.on("ask", (answer) => answer("yes"));
    io.local.to("room").compress(false).emit("local");
    io.compress(true).in("room").local.emit("compressed");
    pairs[1].socket.local.to("room").emit("from socket");
    await names(pairs);
    io.volatile.to("room").emit("volatile");
    await once(pairs[0].client, "volatile");
    expect(await io.to("room").timeout(10000).emitWithAck("ask")).toEqual(["yes"]);
    expect(await pairs[1].socket.broadcast.to("room").timeout(10000).emitWithAck("ask")).toEqual(["yes"]);
    expect(await names(pairs)).toEqual([["volatile", "ask", "ask"], []]);
  });

  test("a volatile event to a client that is ready arrives", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, UPGRADE]) {
      const { client, socket } = await server.pair("/", transport);
      if (client.io.engine.transport.name === "polling") await once(client.io.engine, "upgrade");
      await eventually(async () => {
        // The answer to the barrier may still be on its way out, and a client that is not ready loses the event.
        await barrier(client);
        const heard = once(client, "position", 200);
        socket.volatile.emit("position", 1, 2);
        return (await heard).length === 2;
      });
    }
  });

  test("of two volatile events in one breath the second is dropped", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const heard = record(client);
    await eventually(async () => {
      await barrier(client);
      // The connection may still be writing the answer to the barrier, and then it drops both.
      socket.volatile.emit("first");
      socket.volatile.emit("second");
      await barrier(client);
      return heard.length > 0;
    });
    expect(heard).toEqual([["first"]]);
  });

  test("a volatile event right behind another event is dropped", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const heard = record(client);
    socket.emit("first");
    socket.volatile.emit("second");
    await barrier(client);
    expect(heard).toEqual([["first"]]);
  });

  test("fetchSockets lists the sockets of a room with id, rooms, data and handshake", async () => {
    const { io, pairs } = await startWith(3);
    for (const { socket } of pairs.slice(0, 2)) {
      socket.join("room");
      socket.data.name = `named ${socket.id}`;
    }
    const all = await io.fetchSockets();
    expect(all.map(({ id }) => id).sort()).toEqual(pairs.map(({ socket }) => socket.id).sort());
    const found = await io.in("room").fetchSockets();
    expect(found.map(({ id }) => id).sort()).toEqual(
      pairs
        .slice(0, 2)
        .map(({ socket }) => socket.id)
        .sort(),
    );
    for (const remote of found) {
      expect([...remote.rooms].sort()).toEqual([remote.id, "room"].sort());
      expect(remote.data).toEqual({ name: `named ${remote.id}` });
      expect(remote.handshake.headers.host).toBe(`127.0.0.1:${new URL(pairs[0].client.io.uri).port}`);
    }
    expect(await io.in("room").except("room").fetchSockets()).toEqual([]);
    expect(await io.to("unknown").fetchSockets()).toEqual([]);
  });

  test("socketsJoin and socketsLeave move the sockets of a room", async () => {
    const { io, pairs } = await startWith(3);
    pairs[0].socket.join("from");
    pairs[1].socket.join("from");
    io.in("from").socketsJoin(["to", "also"]);
    expect([...pairs[0].socket.rooms]).toEqual(expect.arrayContaining(["from", "to", "also"]));
    io.to("to").emit("to");
    io.in("from").socketsLeave("to");
    io.to("to").emit("nobody");
    io.socketsJoin("everybody");
    io.to("everybody").emit("everybody");
    io.except("from").socketsLeave("everybody");
    io.to("everybody").emit("some");
    expect(await names(pairs)).toEqual([
      ["to", "everybody", "some"],
      ["to", "everybody", "some"],
      ["everybody"],
    ]);
  });

  test("disconnectSockets disconnects the sockets of a room", async () => {
    const { io, server, pairs } = await startWith(3);
    server.watch("/other");
    const other = await join(pairs[0].client, "/other");
    pairs[0].socket.join("out");
    pairs[1].socket.join("out");
    const gone = pairs.slice(0, 2).map(({ client }) => once(client, "disconnect"));
    io.in("out").disconnectSockets();
    for (const [reason] of await Promise.all(gone)) expect(reason).toBe("io server disconnect");
    expect(pairs.map(({ socket }) => socket.connected)).toEqual([false, false, true]);
    expect(await names(pairs.slice(2))).toEqual([[]]);
    await barrier(other);
  });

  test("disconnectSockets with close ends the whole connection", async () => {
    const server = await startServer();
    const { client } = await server.pair();
    const other = await server.pair("/other");
    const closed = once(client.io, "close");
    server.io.disconnectSockets(true);
    await closed;
    await barrier(other.client);
    expect(client.connected).toBe(false);
    expect(other.client.connected).toBe(true);
  });

  test("a fetched socket can be emitted to, moved and disconnected", async () => {
    const { io, pairs } = await startWith(2);
    const [remote] = await io.in(pairs[0].socket.id).fetchSockets();
    remote.emit("to you", 1);
    remote.join("room");
    io.to("room").emit("inside");
    remote.leave("room");
    io.to("room").emit("outside");
    expect(await names(pairs)).toEqual([["to you", "inside"], []]);
    const gone = once(pairs[0].client, "disconnect");
    remote.disconnect(true);
    await gone;
    expect(pairs[1].client.connected).toBe(true);
  });

  test("polling receivers hear what is sent to their rooms", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair("/", POLLING);
    const heard = record(client);
    socket.join("room");
    server.io.to("room").emit("a");
    server.io.to("room").emit("b", { n: 1 });
    await barrier(client);
    expect(heard).toEqual([["a"], ["b", { n: 1 }]]);
  });
});
