"use strict";

const connectOld = require("socket.io-client-v2");
const {
  POLLING,
  UPGRADE,
  WEBSOCKET,
  afterThisTest,
  barrier,
  closed,
  eventually,
  once,
  openWebSocket,
  record,
  request,
  startServer,
  within,
} = require("./support");

/** An official client of Socket.IO 2 on a connection of its own. */
function openOld(server, name = "/", options = {}) {
  const client = connectOld(server.url + (name === "/" ? "" : name), {
    forceNew: true,
    reconnection: false,
    ...WEBSOCKET,
    ...options,
  });
  afterThisTest(() => closed(client, () => client.io.close()));
  return client;
}

async function connectedOld(client) {
  if (!client.connected) await once(client, "connect");
  return client;
}

/** A connected old client with the socket that the server has for it. */
async function oldPair(server, name = "/", options = {}) {
  server.watch(name.replace(/\?.*/, ""));
  const client = await connectedOld(openOld(server, name, options));
  return { client, socket: await server.socketOf(client) };
}

function startOldServer(options) {
  return startServer({ allowEIO3: true, ...options });
}

function ask(emitter, ...args) {
  return within(new Promise((resolve) => emitter.emit(...args, (...answer) => resolve(answer))), "the ack");
}

/** The list of `[event, ...args]` that an old client hears for these events; it has no catch-all listener. */
function recordOld(client, ...events) {
  const heard = [];
  for (const event of events) client.on(event, (...args) => heard.push([event, ...args]));
  return heard;
}

async function checkTraffic({ client, socket }) {
  socket.on("ask", (value, answer) => answer(`server ${value}`, { n: 1 }));
  client.on("ask", (value, answer) => answer(`client ${value}`, [null]));
  expect(await ask(client, "ask", "größe")).toEqual(["server größe", { n: 1 }]);
  expect(await ask(socket, "ask", "größe")).toEqual(["client größe", [null]]);
  const up = [];
  const down = [];
  socket.on("n", (n) => up.push(n));
  client.on("n", (n) => down.push(n));
  for (let n = 0; n < 100; n += 1) {
    client.emit("n", n);
    socket.emit("n", n);
  }
  await ask(client, "barrier");
  expect(up).toEqual(Array.from({ length: 100 }, (_, n) => n));
  expect(down).toEqual(up);
}

const BYTES = Buffer.from(Array.from({ length: 256 }, (_, n) => n));

async function checkBytes({ client, socket }) {
  const sent = [{ bytes: BYTES, list: ["text", Buffer.from("two")] }, Buffer.alloc(0), "größe \u{1f600}"];
  const up = once(socket, "up");
  client.emit("up", ...sent);
  expect(await up).toStrictEqual(sent);
  const down = once(client, "down");
  socket.emit("down", ...sent);
  expect(await down).toStrictEqual(sent);
  socket.on("read", (answer) => answer(BYTES));
  client.on("read", (answer) => answer(BYTES));
  expect(await ask(client, "read")).toStrictEqual([BYTES]);
  expect(await ask(socket, "read")).toStrictEqual([BYTES]);
}

describe("eio3", () => {
  test("an old client connects over long-polling", async () => {
    const server = await startOldServer();
    const { client, socket } = await oldPair(server, "/", POLLING);
    expect(socket.id).toBe(client.id);
    expect(socket.id).toBe(client.io.engine.id);
    expect(socket.conn.transport.name).toBe("polling");
    expect(socket.handshake.query.EIO).toBe("3");
  });

  test("an old client connects over WebSocket", async () => {
    const server = await startOldServer();
    const { client, socket } = await oldPair(server);
    expect(socket.id).toBe(client.id);
    expect(socket.conn.transport.name).toBe("websocket");
  });

  test("an old client upgrades from long-polling to WebSocket", async () => {
    const server = await startOldServer();
    const pair = await oldPair(server, "/", UPGRADE);
    const up = [];
    const down = [];
    pair.socket.on("up", (n) => up.push(n));
    pair.client.on("down", (n) => down.push(n));
    let sent = 0;
    let left = 50;
    while (left > 0) {
      if (pair.client.io.engine.transport.name === "websocket") left -= 1;
      pair.client.emit("up", sent);
      pair.socket.emit("down", sent);
      sent += 1;
      await new Promise(setImmediate);
    }
    await ask(pair.client, "barrier");
    const expected = Array.from({ length: sent }, (_, n) => n);
    expect(up).toEqual(expected);
    expect(down).toEqual(expected);
    expect(pair.socket.conn.transport.name).toBe("websocket");
  });

  test("an old client is refused unless allowEIO3 is set", async () => {
    const server = await startServer();
    for (const transport of [POLLING, WEBSOCKET]) {
      const client = openOld(server, "/", transport);
      await once(client, "connect_error");
      expect(client.connected).toBe(false);
    }
    expect(server.sockets.size).toBe(0);
  });

  test("an old client sends and receives events and acks", async () => {
    const server = await startOldServer();
    for (const transport of [POLLING, WEBSOCKET]) await checkTraffic(await oldPair(server, "/", transport));
  });

  test("an old client sends and receives bytes over long-polling", async () => {
    const server = await startOldServer();
    await checkBytes(await oldPair(server, "/", POLLING));
    await checkBytes(await oldPair(server, "/", { ...POLLING, forceBase64: true }));
  });

  test("an old client sends and receives bytes over WebSocket", async () => {
    const server = await startOldServer();
    await checkBytes(await oldPair(server, "/", WEBSOCKET));
    await checkBytes(await oldPair(server, "/", { ...WEBSOCKET, forceBase64: true }));
  });

  test("an old client joins a namespace with a query", async () => {
    const server = await startOldServer();
    const { client, socket } = await oldPair(server, "/chat?token=a%20b&n=1");
    expect(socket.nsp.name).toBe("/chat");
    expect(socket.id).toBe(`/chat#${client.io.engine.id}`);
    expect({ ...socket.handshake.auth }).toEqual({ token: "a b", n: "1" });
    await checkTraffic({ client, socket });
  });

  test("an old client leaves one namespace and keeps the other", async () => {
    const server = await startOldServer();
    server.watch("/chat");
    const { client: main, socket } = await oldPair(server);
    const chat = main.io.socket("/chat");
    await connectedOld(chat);
    const chatSocket = await server.socketOf(chat);
    const gone = once(chatSocket, "disconnect");
    chat.close();
    expect((await gone)[0]).toBe("client namespace disconnect");
    await ask(main, "barrier");
    expect(socket.connected).toBe(true);
  });

  test("an old client is told why it was refused", async () => {
    const server = await startOldServer();
    server.watch("/guarded").use((socket, next) => {
      const { token } = socket.handshake.auth;
      const refusal = new Error(`bad token: ${token}`);
      if (token === "expired") refusal.data = { code: 1 };
      if (token === "empty") refusal.data = null;
      next(token === "good" ? undefined : refusal);
    });
    const refused = openOld(server, "/guarded?token=bad");
    expect((await once(refused, "error"))[0]).toBe("bad token: bad");
    // The old protocol has room for one value: data, if there is any, stands in for the message.
    const expired = openOld(server, "/guarded?token=expired");
    expect((await once(expired, "error"))[0]).toEqual({ code: 1 });
    const empty = openOld(server, "/guarded?token=empty");
    expect((await once(empty, "error"))[0]).toBe("bad token: empty");
    await oldPair(server, "/guarded?token=good");
    const nowhere = openOld(server, "/nowhere");
    expect((await once(nowhere, "error"))[0]).toEqual({ message: "Invalid namespace" });
  });

  test("old and new clients share rooms and broadcasts", async () => {
    const server = await startOldServer();
    const old = await oldPair(server);
    const oldPolling = await oldPair(server, "/", POLLING);
    const modern = await server.pair();
    const heard = [
      recordOld(old.client, "all", "room"),
      recordOld(oldPolling.client, "all", "room"),
      record(modern.client),
    ];
    for (const { socket } of [old, oldPolling, modern]) socket.join("room");
    server.io.emit("all", { n: 1 }, BYTES);
    modern.socket.to("room").emit("room", "from new");
    old.socket.to("room").emit("room", "from old");
    await Promise.all([
      ask(old.client, "barrier"),
      ask(oldPolling.client, "barrier"),
      barrier(modern.client),
    ]);
    const all = ["all", { n: 1 }, BYTES];
    expect(heard).toStrictEqual([
      [all, ["room", "from new"]],
      [all, ["room", "from new"], ["room", "from old"]],
      [all, ["room", "from old"]],
    ]);
    expect(await server.io.timeout(10000).to("nobody").emitWithAck("ask")).toEqual([]);
    for (const { client } of [old, oldPolling, modern]) client.on("ask", (answer) => answer("yes"));
    expect(await server.io.timeout(10000).emitWithAck("ask")).toEqual(["yes", "yes", "yes"]);
  });

  test("an old client's pings are answered", async () => {
    const server = await startOldServer({ pingInterval: 30, pingTimeout: 5000 });
    for (const transport of [POLLING, WEBSOCKET]) {
      const { client, socket } = await oldPair(server, "/", transport);
      for (let n = 0; n < 3; n += 1) await once(client, "pong");
      expect(socket.connected).toBe(true);
    }
  });

  test("an old client that stops pinging is a ping timeout", async () => {
    const server = await startOldServer({ pingInterval: 50, pingTimeout: 50 });
    const connection = once(server.io, "connection");
    const peer = await openWebSocket(server, { protocol: 3 });
    const [socket] = await connection;
    expect((await once(socket, "disconnect"))[0]).toBe("ping timeout");
    await peer.closeCode();
  });

  test("an old client and the server agree on disconnect reasons", async () => {
    const server = await startOldServer();
    const reasons = async ({ client, socket }, action) => {
      const heard = Promise.all([once(socket, "disconnect"), once(client, "disconnect")]);
      action();
      return (await heard).map(([reason]) => reason);
    };
    for (const transport of [POLLING, WEBSOCKET]) {
      const leaves = await oldPair(server, "/", transport);
      const left = await reasons(leaves, () => leaves.client.disconnect());
      expect(left).toEqual(["client namespace disconnect", "io client disconnect"]);
      const sent = await oldPair(server, "/", transport);
      const away = await reasons(sent, () => sent.socket.disconnect(true));
      expect(away).toEqual(["server namespace disconnect", "io server disconnect"]);
    }
    const lost = await oldPair(server);
    const given = await reasons(lost, () => lost.client.io.engine.transport.ws.terminate());
    expect(given).toEqual(["transport close", "transport close"]);
  });

  test("text beyond the basic plane survives the old framing", async () => {
    const server = await startOldServer();
    const texts = [
      "\u{1f600}",
      "a\u{10ffff}b",
      "é",
      "€",
      "\u{1f468}\u{200d}\u{1f469}",
      "3:4ab",
      "\u0000\ufffd",
    ];
    for (const transport of [POLLING, WEBSOCKET]) {
      const { client, socket } = await oldPair(server, "/", transport);
      const up = [];
      socket.on("text", (text) => up.push(text));
      const down = recordOld(client, "text");
      for (const text of texts) {
        client.emit("text", text);
        socket.emit("text", text);
      }
      await ask(client, "barrier");
      expect(up).toEqual(texts);
      expect(down.map(([, text]) => text)).toEqual(texts);
    }
  });

  test("JSONP polling carries events", async () => {
    const server = await startOldServer();
    const base = "/socket.io/?EIO=3&transport=polling&j=0";
    const opened = await request(server, base);
    const unwrap = ({ text }) => JSON.parse(/^___eio\[0\]\((".*")\);$/s.exec(text)[1]);
    const { sid } = JSON.parse(/\{.*?\}/.exec(unwrap(opened))[0]);
    const [socket] = await eventually(() => server.sockets.size === 1 && [...server.sockets.values()]);
    expect(socket.id).toBe(sid);
    const heard = once(socket, "up");
    // A line break arrives escaped twice, as the old client's form writes it.
    const packet = '42["up","größe & mehr\\nnext"]';
    const payload = `${packet.length}:${packet}`.replace(/\\n/g, "\\\\n");
    const posted = await request(server, `${base}&sid=${sid}`, {
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: `d=${encodeURIComponent(payload)}`,
    });
    expect([posted.status, posted.text]).toEqual([200, "ok"]);
    expect(await heard).toEqual(["größe & mehr\nnext"]);
    let received = "";
    socket.emit("down", "über\u2028");
    while (!received.includes("down")) received += unwrap(await request(server, `${base}&sid=${sid}`));
    expect(received).toContain('42["down","über\u2028"]');
  });
});
