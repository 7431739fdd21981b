"use strict";

const {
  POLLING,
  WEBSOCKET,
  connected,
  deferred,
  eventually,
  once,
  openPolling,
  openWebSocket,
  record,
  startServer,
} = require("./support");

describe("connect", () => {
  test("a client connects over WebSocket and both sides agree on the socket id", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair("/", WEBSOCKET);
    expect(client.id).toMatch(/^[\w-]{20}$/);
    expect(socket.id).toBe(client.id);
    expect(socket.conn.transport.name).toBe("websocket");
    expect(socket.connected).toBe(true);
  });

  test("a client connects over long-polling and both sides agree on the socket id", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair("/", POLLING);
    expect(client.id).toMatch(/^[\w-]{20}$/);
    expect(socket.id).toBe(client.id);
    expect(socket.conn.transport.name).toBe("polling");
  });

  test("the socket id differs from the session id", async () => {
    const server = await startServer();
    const client = await server.connect();
    expect(client.io.engine.id).toMatch(/^[\w-]{20}$/);
    expect(client.id).not.toBe(client.io.engine.id);
  });

  test("a hundred clients get a hundred different ids", async () => {
    const server = await startServer();
    const clients = await Promise.all(Array.from({ length: 100 }, () => server.connect()));
    const ids = clients.flatMap((client) => [client.id, client.io.engine.id]);
    expect(new Set(ids).size).toBe(200);
  });

  test("the auth payload reaches the server as the client wrote it", async () => {
    const server = await startServer();
    const auth = { token: "ключ \u{1f511}", list: [1, null, { deep: true }], __proto: "kept" };
    const { socket } = await server.pair("/", { auth });
    expect(socket.handshake.auth).toEqual(auth);
    const { socket: without } = await server.pair();
    expect(without.handshake.auth).toEqual({});
  });

  test("an auth function of the client is asked for the payload", async () => {
    const server = await startServer();
    const { socket } = await server.pair("/", { auth: (answer) => setImmediate(answer, { token: "asked" }) });
    expect(socket.handshake.auth).toEqual({ token: "asked" });
  });

  test("the handshake carries headers, query, url, address and time", async () => {
    const server = await startServer();
    const before = Date.now();
    const { socket } = await server.pair("/", {
      query: { room: "größe & mehr", n: 5 },
      extraHeaders: { "X-Greeting": "hello" },
    });
    const { handshake } = socket;
    expect(handshake.headers["x-greeting"]).toBe("hello");
    expect(handshake.headers.host).toBe(`127.0.0.1:${server.port}`);
    expect(handshake.query).toMatchObject({ room: "größe & mehr", n: "5", EIO: "4", transport: "websocket" });
    expect(handshake.url).toMatch(/^\/socket\.io\/\?/);
    expect(handshake.address).toMatch(/^(::ffff:)?127\.0\.0\.1$/);
    expect(handshake.secure).toBe(false);
    expect(handshake.xdomain).toBe(false);
    expect(handshake.issued).toBeGreaterThanOrEqual(before);
    expect(handshake.issued).toBeLessThanOrEqual(Date.now());
    expect(Math.abs(new Date(handshake.time).getTime() - handshake.issued)).toBeLessThan(1000);
  });

  test("what the connect handler emits arrives after the client's connect event", async () => {
    const server = await startServer();
    server.io.on("connection", (socket) => {
      socket.emit("welcome", socket.id);
      server.io.emit("joined", socket.id);
    });
    const client = server.client();
    const order = [];
    client.on("connect", () => order.push("connect"));
    client.onAny((event, id) => order.push([event, id === client.id]));
    await once(client, "joined");
    expect(order).toEqual(["connect", ["welcome", true], ["joined", true]]);
  });

  test("a refused connection tells the client message and data", async () => {
    const server = await startServer();
    server.io.use((_socket, next) => {
      const refusal = new Error("not today");
      refusal.data = { code: 7, hints: ["tomorrow", { at: "nine" }] };
      next(refusal);
    });
    const handler = jest.fn();
    server.io.on("connection", handler);
    for (const transport of [WEBSOCKET, POLLING]) {
      const client = server.client("/", transport);
      const [error] = await once(client, "connect_error");
      expect(error.message).toBe("not today");
      expect(error.data).toEqual({ code: 7, hints: ["tomorrow", { at: "nine" }] });
      expect(client.connected).toBe(false);
    }
    expect(handler).not.toHaveBeenCalled();
  });

  test("a refused client can connect after it changed its auth payload", async () => {
    const server = await startServer();
    server.io.use((socket, next) =>
      next(socket.handshake.auth.token === "good" ? undefined : new Error("bad token")),
    );
    const client = server.client("/", { auth: { token: "wrong" } });
    const [error] = await once(client, "connect_error");
    expect(error.message).toBe("bad token");
    client.auth = { token: "good" };
    client.connect();
    await connected(client);
    expect((await server.socketOf(client)).handshake.auth).toEqual({ token: "good" });
  });

  test("a check that waits holds up only the client that is being checked", async () => {
    const server = await startServer();
    const gate = deferred();
    const checking = deferred();
    server.io.use(async (socket, next) => {
      if (socket.handshake.auth.slow) {
        checking.resolve();
        await gate.promise;
      }
      next();
    });
    const slow = server.client("/", { auth: { slow: true } });
    await checking.promise;
    const quick = await server.connect();
    expect(quick.connected).toBe(true);
    expect(slow.connected).toBe(false);
    gate.resolve();
    await connected(slow);
  });

  test("a client that leaves while it is being checked never becomes a socket", async () => {
    const server = await startServer();
    const gate = deferred();
    const checking = deferred();
    server.io.use(async (socket, next) => {
      if (socket.handshake.query.slow) {
        checking.resolve();
        await gate.promise;
      }
      next();
    });
    const session = await openPolling(server, { join: false, query: "&slow=1" });
    await session.post("40");
    await checking.promise;
    await session.post("1");
    await eventually(async () => (await session.poll()).status === 400);
    gate.resolve();
    const other = await server.connect();
    await server.socketOf(other);
    expect([...server.sockets.keys()]).toEqual([other.id]);
    expect(await server.io.fetchSockets()).toHaveLength(1);
  });

  test("a namespace that does not exist is refused", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, POLLING]) {
      const client = server.client("/nowhere", transport);
      const [error] = await once(client, "connect_error");
      expect(error.message).toBe("Invalid namespace");
      expect(error.data).toBeUndefined();
    }
  });

  test("a client that joins no namespace in time is closed", async () => {
    const server = await startServer({ connectTimeout: 100 });
    const joined = await openWebSocket(server);
    const idle = await openWebSocket(server, { join: false });
    await idle.closeCode();
    joined.send('420["barrier"]');
    expect(await joined.next()).toBe("430[]");
  });

  test("a client with a malformed auth payload is closed", async () => {
    const server = await startServer();
    const { client } = await server.pair();
    for (const packet of ['40"token"', "40[1]", "40{", "40null"]) {
      const peer = await openWebSocket(server, { join: false });
      peer.send(packet);
      await peer.closeCode();
    }
    const heard = record(client);
    server.io.emit("still here");
    await once(client, "still here");
    expect(heard).toEqual([["still here"]]);
    expect(server.sockets.size).toBe(1);
  });

  test("a reconnecting client gets a new socket id", async () => {
    const server = await startServer();
    const { client } = await server.pair();
    const first = client.id;
    client.disconnect();
    client.connect();
    await connected(client);
    expect(client.id).not.toBe(first);
    expect((await server.socketOf(client)).recovered).toBe(false);
  });
});
