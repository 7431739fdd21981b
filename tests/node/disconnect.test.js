"use strict";

const {
  POLLING,
  UPGRADE,
  WEBSOCKET,
  barrier,
  connected,
  eventually,
  join,
  once,
  openPolling,
  openWebSocket,
  record,
  startServer,
  within,
} = require("./support");

/** Runs `action` and returns the reasons that server and client give for the disconnect. */
async function reasons({ client, socket }, action) {
  const heard = Promise.all([once(socket, "disconnect"), once(client, "disconnect")]);
  action();
  return (await heard).map(([reason]) => reason);
}

/** A raw peer with the server's socket of it. */
async function rawPair(server) {
  const known = new Set(server.sockets.keys());
  const peer = await openWebSocket(server);
  const socket = await eventually(() => [...server.sockets.values()].find(({ id }) => !known.has(id)));
  return { peer, socket };
}

describe("disconnect", () => {
  test("a client that disconnects gives its reason on both sides", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, POLLING]) {
      const pair = await server.pair("/", transport);
      const given = await reasons(pair, () => pair.client.disconnect());
      expect(given).toEqual(["client namespace disconnect", "io client disconnect"]);
      expect(pair.socket.connected).toBe(false);
    }
  });

  test("a server that disconnects a socket gives its reason on both sides", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, POLLING]) {
      const pair = await server.pair("/", transport);
      const given = await reasons(pair, () => pair.socket.disconnect());
      expect(given).toEqual(["server namespace disconnect", "io server disconnect"]);
    }
  });

  test("a server that closes the connection gives its reason on both sides", async () => {
    const server = await startServer();
    server.watch("/other");
    for (const transport of [WEBSOCKET, POLLING]) {
      const pair = await server.pair("/", transport);
      const other = await join(pair.client, "/other");
      const otherPair = { client: other, socket: await server.socketOf(other) };
      const both = reasons(otherPair, () => {});
      const given = await reasons(pair, () => pair.socket.disconnect(true));
      expect(given).toEqual(["server namespace disconnect", "io server disconnect"]);
      expect((await both)[0]).toBe("server namespace disconnect");
    }
  });

  test("a client whose connection is closed in the middle of its upgrade hears of it", async () => {
    const server = await startServer();
    server.io.on("connection", (socket) => {
      socket.emit("last");
      socket.disconnect(true);
    });
    for (let round = 0; round < 20; round += 1) {
      const client = server.client("/", UPGRADE);
      const heard = record(client);
      const { engine } = client.io;
      const [reason] = await once(client, "disconnect");
      expect([heard, reason]).toEqual([[["last"]], "io server disconnect"]);
      if (engine.readyState !== "closed") await once(engine, "close");
    }
  });

  test("a lost WebSocket is a transport close", async () => {
    const server = await startServer();
    const pair = await server.pair();
    const given = await reasons(pair, () => pair.client.io.engine.transport.ws.terminate());
    expect(given).toEqual(["transport close", "transport close"]);
  });

  test("a client that stops answering pings is a ping timeout", async () => {
    const server = await startServer({ pingInterval: 50, pingTimeout: 50 });
    const { peer, socket } = await rawPair(server);
    const gone = once(socket, "disconnect");
    expect(await peer.next({ pings: true })).toBe("2");
    expect((await gone)[0]).toBe("ping timeout");
    await peer.closeCode();

    const session = await openPolling(server);
    const polling = await eventually(() => [...server.sockets.values()].find(({ connected: open }) => open));
    const left = once(polling, "disconnect");
    expect((await session.poll()).text).toBe("2");
    expect((await left)[0]).toBe("ping timeout");
  });

  test("a packet that cannot be decoded is a forced close, raised as error first", async () => {
    const server = await startServer();
    const { peer, socket } = await rawPair(server);
    const order = [];
    socket.on("error", (error) => order.push(["error", error instanceof Error]));
    const gone = once(socket, "disconnect");
    socket.on("disconnect", (reason) => order.push(["disconnect", reason]));
    peer.send("42{");
    await gone;
    await peer.closeCode();
    expect(order).toEqual([
      ["error", true],
      ["disconnect", "forced close"],
    ]);
  });

  test.each([
    ["an unknown type", ["49"], /^unknown packet type/],
    ["no JSON", ["42{"], "invalid payload"],
    ["half an array", ['42["a"'], "invalid payload"],
    ["an event without a name", ["42[]"], "invalid payload"],
    ["a name that is no text", ["42[{}]"], "invalid payload"],
    ["a reserved name", ['42["disconnect"]'], "invalid payload"],
    ["an answer that is no array", ['431{"x":1}'], "invalid payload"],
    ["a number of attachments that is none", ['45x-["a"]'], /^illegal attachments$/i],
    ["too many attachments", ['4519-["a"]'], "too many attachments"],
    ["bytes that nobody announced", [Buffer.from([1])], "got binary data when not reconstructing a packet"],
    ["no bytes at all", [Buffer.alloc(0)], "got binary data when not reconstructing a packet"],
    [
      "a text in place of an attachment",
      ['451-["a",{"_placeholder":true,"num":0}]', '42["b"]'],
      "got plaintext data when reconstructing a packet",
    ],
    [
      "a placeholder for what is not there",
      ['451-["a",{"_placeholder":true,"num":5}]', Buffer.from([1])],
      "illegal attachments",
    ],
  ])("what is wrong with an undecodable packet is told: %s", async (_name, messages, fault) => {
    const server = await startServer();
    const { peer, socket } = await rawPair(server);
    const told = [];
    socket.on("error", (error) => told.push(["error", error.message]));
    for (const event of ["disconnecting", "disconnect"]) {
      socket.on(event, (...args) => told.push([event, ...args]));
    }
    const heard = record(socket);
    for (const message of messages) peer.send(message);
    await eventually(() => told.length === 3);
    const message = fault instanceof RegExp ? expect.stringMatching(fault) : fault;
    expect(told).toEqual([
      ["error", message],
      ["disconnecting", "forced close", undefined],
      ["disconnect", "forced close", undefined],
    ]);
    expect(heard).toEqual([]);
    await peer.closeCode();
  });

  test.each([
    ["43[1]", "an answer to nothing"],
    ['4312345["x"]', "an answer to what was never asked"],
    ['42["unheard",1]', "an event without a listener"],
    ['421["unheard",1]', "one that wants an answer"],
    ['42["",1]', "one without a name"],
    ['42["__proto__",{"__proto__":1}]', "one with a name of JavaScript's own"],
    ['42["error",1]', "one that is called error"],
  ])("%s does no harm: %s", async (message) => {
    const server = await startServer();
    const { peer, socket } = await rawPair(server);
    peer.send(message);
    const heard = once(socket, "after");
    peer.send('42["after"]');
    await heard;
    expect(socket.connected).toBe(true);
  });

  test("an empty attachment is an empty Buffer", async () => {
    const server = await startServer();
    const { peer, socket } = await rawPair(server);
    const heard = once(socket, "bytes");
    peer.send('451-["bytes",{"_placeholder":true,"num":0}]');
    peer.send(Buffer.alloc(0));
    expect(await heard).toEqual([Buffer.alloc(0)]);
  });

  test("a transport error says what was wrong", async () => {
    const server = await startServer({ maxHttpBufferSize: 1000 });
    const told = async (provoke, open = () => rawPair(server)) => {
      const { peer, socket } = await open();
      const left = once(socket, "disconnect");
      await provoke(peer);
      const [reason, error] = await left;
      return [reason, error.message, error.type];
    };
    const tooLarge = await told((peer) => peer.send(`42["${"x".repeat(2000)}"]`));
    expect(tooLarge).toEqual(["transport error", "RangeError: Max payload size exceeded", "TransportError"]);
    const wrongWay = await told((peer) => peer.send("2"));
    expect(wrongWay).toEqual(["transport error", "invalid heartbeat direction", undefined]);
    const polling = async () => {
      const known = new Set(server.sockets.keys());
      const peer = await openPolling(server);
      const socket = await eventually(() => [...server.sockets.values()].find(({ id }) => !known.has(id)));
      return { peer, socket };
    };
    const overlap = await told(async (peer) => {
      await peer.startPoll();
      await peer.poll().catch(() => {});
    }, polling);
    expect(overlap).toEqual(["transport error", "overlap from client", "TransportError"]);
  });

  test("a payload that cannot be decoded is a parse error", async () => {
    const server = await startServer();
    const { peer, socket } = await rawPair(server);
    const gone = once(socket, "disconnect");
    peer.send("abc");
    expect((await gone)[0]).toBe("parse error");
    await peer.closeCode();
  });

  test("a peer that breaks the order of packets is a forced close", async () => {
    const server = await startServer();
    const { peer, socket } = await rawPair(server);
    const gone = once(socket, "disconnect");
    peer.send("40");
    expect((await gone)[0]).toBe("forced close");
    await peer.closeCode();
  });

  test("a server that shuts down says so to its sockets", async () => {
    const server = await startServer();
    server.watch("/other");
    const pair = await server.pair();
    const other = await join(pair.client, "/other");
    const polling = await server.pair("/", POLLING);
    const gone = [
      once(await server.socketOf(other), "disconnect"),
      once(polling.socket, "disconnect"),
      reasons(pair, () => server.io.close()),
    ];
    const [[first], [second], both] = await Promise.all(gone);
    expect([first, second]).toEqual(["server shutting down", "server shutting down"]);
    expect(both[0]).toBe("server shutting down");
    expect(pair.client.connected).toBe(false);
  });

  test("disconnecting comes before disconnect and still has the rooms", async () => {
    const server = await startServer();
    const leave = [
      ({ client }) => client.disconnect(),
      ({ socket }) => socket.disconnect(),
      ({ socket }) => socket.disconnect(true),
      ({ client }) => client.io.engine.transport.ws.terminate(),
    ];
    for (const action of leave) {
      const pair = await server.pair();
      pair.socket.join(["a", "b"]);
      const order = [];
      pair.socket.on("disconnecting", (reason) =>
        order.push(["disconnecting", reason, pair.socket.rooms.size]),
      );
      pair.socket.on("disconnect", (reason) => order.push(["disconnect", reason, pair.socket.rooms.size]));
      const [reason] = await reasons(pair, () => action(pair));
      expect(order).toEqual([
        ["disconnecting", reason, 3],
        ["disconnect", reason, 0],
      ]);
    }
  });

  test("a socket that is gone cannot join rooms, and emits to it are dropped", async () => {
    const server = await startServer();
    const gone = await server.pair();
    const other = await server.pair();
    const heard = record(other.client);
    await reasons(gone, () => gone.client.disconnect());
    gone.socket.join("room");
    gone.socket.emit("lost");
    expect([...gone.socket.rooms]).toEqual([]);
    expect(await server.io.in("room").fetchSockets()).toEqual([]);
    server.io.to("room").to(gone.socket.id).emit("nobody");
    server.io.emit("everybody");
    await barrier(other.client);
    expect(heard).toEqual([["everybody"]]);
  });

  test("an event that follows a disconnect in the same read is not delivered", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const [socket] = server.sockets.values();
    const heard = jest.fn();
    socket.on("after", heard);
    const gone = once(socket, "disconnect");
    await session.post('41\x1e42["after"]');
    await gone;
    await server.connect();
    expect(heard).not.toHaveBeenCalled();
  });

  test("every socket of a lost connection is disconnected once", async () => {
    const server = await startServer();
    const counts = new Map();
    const names = ["/", "/a", "/b"];
    for (const name of names) {
      server.watch(name).on("connection", (socket) => {
        socket.on("disconnect", () => counts.set(name, (counts.get(name) ?? 0) + 1));
      });
    }
    const { client } = await server.pair();
    for (const name of names.slice(1)) await join(client, name);
    client.io.engine.transport.ws.terminate();
    await eventually(() => counts.size === 3);
    await barrier(await server.connect());
    expect([...counts.entries()].sort()).toEqual([
      ["/", 1],
      ["/a", 1],
      ["/b", 1],
    ]);
    for (const name of names.slice(1)) expect(await server.io.of(name).fetchSockets()).toEqual([]);
  });

  test("a polling client that disconnects ends its waiting poll", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair("/", POLLING);
    await barrier(client);
    const closed = once(client.io.engine, "close");
    const gone = once(socket, "disconnect");
    client.disconnect();
    await gone;
    await closed;
    const session = await openPolling(server);
    const poll = await session.startPoll();
    await session.post("41\x1e1");
    expect((await poll.answer).text).toBe("6");
  });

  test("the client reconnects after the server went away and came back", async () => {
    const first = await startServer();
    const client = first.client("/", { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 });
    await connected(client);
    const gone = once(client, "disconnect");
    await first.close();
    expect((await gone)[0]).toBe("transport close");
    await once(client.io, "reconnect_error");
    const back = within(new Promise((resolve) => client.once("connect", resolve)), "the client to come back");
    first.listenAgain();
    await back;
    await barrier(client);
  });
});
