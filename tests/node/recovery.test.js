"use strict";

const {
  POLLING,
  WEBSOCKET,
  barrier,
  connected,
  eventually,
  ferrioOnly,
  once,
  openWebSocket,
  record,
  startServer,
  within,
} = require("./support");

const RECOVERY = { connectionStateRecovery: { maxDisconnectionDuration: 60000 } };

/** A connected pair whose client has heard one event, so that the official server can recover it. */
async function recoverablePair(server, options) {
  const pair = await server.pair("/", options);
  const first = once(pair.client, "first");
  pair.socket.emit("first");
  await first;
  return pair;
}

/** Breaks the connection without leaving the namespace and waits until the server has seen it. */
async function cut({ client, socket }) {
  const gone = once(socket, "disconnect");
  client.io.engine.close();
  await gone;
}

/** Connects the client again and returns the server's new socket object. */
async function comeBack(server, { client, socket }) {
  client.connect();
  await connected(client);
  return eventually(() => {
    const current = server.sockets.get(client.id);
    return current !== socket && current;
  });
}

/** Opens a bare WebSocket and joins the main namespace with what a client remembers of its session. */
async function resume(server, session) {
  const peer = await openWebSocket(server, { join: false });
  peer.send(`40${session ? JSON.stringify(session) : ""}`);
  const before = [];
  for (;;) {
    const packet = await peer.next();
    if (packet.startsWith("40")) return { peer, before, ...JSON.parse(packet.slice(2)) };
    before.push(packet);
  }
}

describe("recovery", () => {
  test("a client that comes back in time keeps its id, rooms and data", async () => {
    const server = await startServer(RECOVERY);
    for (const transport of [WEBSOCKET, POLLING]) {
      const pair = await recoverablePair(server, transport);
      const { id } = pair.client;
      expect(pair.client.recovered).toBe(false);
      pair.socket.join(["a", "b"]);
      pair.socket.data = { user: "ann", list: [1, null] };
      await cut(pair);
      const again = await comeBack(server, pair);
      expect(pair.client.id).toBe(id);
      expect(pair.client.recovered).toBe(true);
      expect(again.recovered).toBe(true);
      expect([...again.rooms].sort()).toEqual([id, "a", "b"].sort());
      expect(again.data).toEqual({ user: "ann", list: [1, null] });
    }
  });

  test("missed events arrive in order and before new ones", async () => {
    const server = await startServer(RECOVERY);
    const pair = await recoverablePair(server);
    server.io.on("connection", (socket) => socket.emit("new"));
    const heard = record(pair.client);
    await cut(pair);
    for (let n = 0; n < 10; n += 1) server.io.emit("missed", n, "text");
    await comeBack(server, pair);
    await barrier(pair.client);
    // Each stored event carries its offset as a last argument, which is the client's to remember.
    expect(heard.map((event) => event.slice(0, 3))).toEqual([
      ...Array.from({ length: 10 }, (_, n) => ["missed", n, "text"]),
      ["new", expect.any(String)],
    ]);
  });

  test("events that were missed in rooms and by broadcast arrive, others do not", async () => {
    const server = await startServer(RECOVERY);
    const pair = await recoverablePair(server);
    const other = await server.pair();
    const heard = record(pair.client);
    pair.socket.join("room");
    const { id } = pair.socket;
    await cut(pair);
    server.io.to("room").emit("room");
    server.io.to("other room").emit("other room");
    server.io.except("room").emit("except");
    other.socket.to(id).emit("private");
    other.socket.emit("to another");
    other.socket.broadcast.emit("broadcast");
    server.io.of("/other").emit("other namespace");
    await comeBack(server, pair);
    await barrier(pair.client);
    expect(heard.map(([event]) => event)).toEqual(["room", "private", "broadcast"]);
  });

  test("a client that comes back too late gets a new id", async () => {
    const server = await startServer({ connectionStateRecovery: { maxDisconnectionDuration: 20 } });
    const pair = await recoverablePair(server);
    const { id } = pair.client;
    pair.socket.join("room");
    await cut(pair);
    const late = Date.now() + 100;
    await eventually(() => Date.now() > late);
    const again = await comeBack(server, pair);
    expect(pair.client.id).not.toBe(id);
    expect([pair.client.recovered, again.recovered]).toEqual([false, false]);
    expect([...again.rooms]).toEqual([again.id]);
  });

  test("an unknown private session id starts a new session", async () => {
    const server = await startServer(RECOVERY);
    for (const session of [
      { pid: "unknown", offset: "x" },
      { pid: "unknown" },
      { pid: 1, offset: {} },
      { pid: null },
      { pid: "__proto__", offset: "" },
    ]) {
      const { pid, sid } = await resume(server, session);
      expect(pid).toMatch(/^[\w-]{20}$/);
      expect(sid).toMatch(/^[\w-]{20}$/);
      expect(pid).not.toBe(sid);
      expect(server.sockets.get(sid).recovered).toBe(false);
    }
  });

  test("a client that left on purpose is not recovered", async () => {
    const server = await startServer(RECOVERY);
    const pair = await recoverablePair(server);
    const { id } = pair.client;
    const gone = once(pair.socket, "disconnect");
    pair.client.disconnect();
    await gone;
    const again = await comeBack(server, pair);
    expect(again.recovered).toBe(false);
    expect(again.id).not.toBe(id);
  });

  test("missed bytes are replayed", async () => {
    const server = await startServer(RECOVERY);
    for (const transport of [WEBSOCKET, POLLING]) {
      const pair = await recoverablePair(server, transport);
      const heard = record(pair.client);
      await cut(pair);
      server.io.emit("bytes", Buffer.from("one"), { two: Buffer.from("two") });
      await comeBack(server, pair);
      await barrier(pair.client);
      expect(heard.map((event) => event.slice(0, 3))).toStrictEqual([
        ["bytes", Buffer.from("one"), { two: Buffer.from("two") }],
      ]);
    }
  });

  test("middleware is skipped for a recovered client by default", async () => {
    const server = await startServer(RECOVERY);
    const middleware = jest.fn((_socket, next) => next());
    server.io.use(middleware);
    const pair = await recoverablePair(server);
    await cut(pair);
    expect((await comeBack(server, pair)).recovered).toBe(true);
    expect(middleware).toHaveBeenCalledTimes(1);
  });

  test("middleware runs for a recovered client when so configured", async () => {
    const server = await startServer({
      connectionStateRecovery: { maxDisconnectionDuration: 60000, skipMiddlewares: false },
    });
    let banned = false;
    server.io.use((_socket, next) => next(banned ? new Error("banned") : undefined));
    const pair = await recoverablePair(server);
    await cut(pair);
    banned = true;
    pair.client.connect();
    expect((await once(pair.client, "connect_error"))[0].message).toBe("banned");
  });

  test("a second recovery brings no event twice", async () => {
    const server = await startServer(RECOVERY);
    const pair = await recoverablePair(server);
    const heard = record(pair.client);
    for (const event of ["one", "two", "three"]) {
      await cut(pair);
      server.io.emit(event);
      pair.socket = await comeBack(server, pair);
      expect(pair.socket.recovered).toBe(true);
      await barrier(pair.client);
    }
    expect(heard.map(([event]) => event)).toEqual(["one", "two", "three"]);
  });

  test("a client that was idle for long is recovered", async () => {
    const server = await startServer({ connectionStateRecovery: { maxDisconnectionDuration: 1000 } });
    const pair = await recoverablePair(server);
    const heard = record(pair.client);
    const idleUntil = Date.now() + 2500;
    await eventually(() => Date.now() > idleUntil);
    await cut(pair);
    server.io.emit("missed");
    const again = await comeBack(server, pair);
    await barrier(pair.client);
    expect(again.recovered).toBe(true);
    expect(heard.map(([event]) => event)).toEqual(["missed"]);
  });
});

ferrioOnly("the official server needs a first event to know where the client stands", () => {
  test("a client that had no event yet is recovered", async () => {
    const server = await startServer(RECOVERY);
    const pair = await server.pair();
    const { id } = pair.client;
    const heard = record(pair.client);
    await barrier(pair.client);
    await cut(pair);
    server.io.emit("missed", 1);
    const again = await comeBack(server, pair);
    await barrier(pair.client);
    expect([again.recovered, pair.client.recovered, again.id]).toEqual([true, true, id]);
    expect(heard.filter(([event]) => event === "missed").map((event) => event[1])).toEqual([1]);
  });
});

ferrioOnly(
  "the client takes the last text of any event for an offset, and the official server gives volatile events none",
  () => {
    test("a volatile event's last text is not taken for an offset", async () => {
      const server = await startServer(RECOVERY);
      const pair = await recoverablePair(server);
      await eventually(async () => {
        await barrier(pair.client);
        const heard = once(pair.client, "volatile", 200);
        pair.socket.volatile.emit("volatile", "a text");
        return heard;
      });
      const heard = record(pair.client);
      await cut(pair);
      server.io.emit("missed");
      const again = await comeBack(server, pair);
      await barrier(pair.client);
      expect(again.recovered).toBe(true);
      expect(heard.map(([event]) => event)).toEqual(["missed"]);
    });
  },
);

ferrioOnly("the official in-memory adapter keeps a restored session for others to restore again", () => {
  test("a private session id works once", async () => {
    const server = await startServer(RECOVERY);
    const first = await resume(server);
    const socket = await eventually(() => server.sockets.get(first.sid));
    socket.emit("first");
    const offset = JSON.parse((await first.peer.next()).slice(2)).at(-1);
    const gone = once(socket, "disconnect");
    first.peer.close();
    await gone;
    const session = { pid: first.pid, offset };
    const second = await resume(server, session);
    expect([second.sid, second.pid]).toEqual([first.sid, first.pid]);
    const third = await resume(server, session);
    expect(third.sid).not.toBe(first.sid);
    expect(third.pid).not.toBe(first.pid);
  });
});

ferrioOnly("the official server has no bound for the sessions that it keeps", () => {
  test("a session that makes room for that of a client which left in middleware holds nobody up", async () => {
    const server = await startServer({
      connectionStateRecovery: { maxDisconnectionDuration: 60000, maxSessions: 1, skipMiddlewares: false },
    });
    const quiet = await server.pair();
    quiet.socket.on("ask", (answer) => answer());
    const [first, second] = [await resume(server), await resume(server)];
    const leave = async ({ sid, peer }) => {
      const gone = once(await eventually(() => server.sockets.get(sid)), "disconnect");
      peer.close();
      await gone;
    };
    await leave(first);
    const asked = new Promise((resolve) => server.io.use((socket) => resolve(socket)));
    const returning = await openWebSocket(server, { join: false });
    returning.send(`40${JSON.stringify({ pid: first.pid })}`);
    expect((await within(asked, "the middleware")).id).toBe(first.sid);
    await leave(second);
    returning.close();
    // The first session is kept once more, and the second has to go.
    await eventually(() => server.io._held().retained === 1);
    await quiet.client.timeout(5000).emitWithAck("ask");
  });
});
