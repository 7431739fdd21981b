"use strict";

const { POLLING, SEPARATOR, deferred, eventually, listen, once, startEngine, within } = require("./support");

const BYTES = [1, 2, 3, 254];

/** A session of each transport whose client is in the test's hands. `next` is the next thing that the client reads. */
const BY_HAND = {
  polling: async (server) => {
    const session = await server.polling();
    return {
      socket: session.socket,
      send: (text) => session.post(text),
      next: async () => (await session.packets())[0],
    };
  },
  websocket: async (server) => {
    const webSocket = await server.webSocket();
    return {
      socket: webSocket.engineSocket,
      send: async (text) => webSocket.send(text),
      next: () => webSocket.next(),
    };
  },
};
const TRANSPORTS = Object.keys(BY_HAND);

/** The next message that the server's socket hears. */
const nextMessage = async (socket) => (await once(socket, "message"))[0];

/** A send with what it resolves to when its callback is called. */
function sent(socket, data, options) {
  const called = deferred();
  if (options === undefined) socket.send(data, called.resolve);
  else socket.send(data, options, called.resolve);
  return called.promise;
}

describe("a socket", () => {
  test("shows its beginning", async () => {
    const server = await startEngine();
    const seen = new Promise((resolve) => {
      server.engine.on("connection", (socket) => {
        resolve({
          readyState: socket.readyState,
          transport: socket.transport.name,
          upgraded: socket.upgraded,
          upgrading: socket.upgrading,
          protocol: socket.protocol,
        });
      });
    });
    const { client, socket } = await server.pair({ ...POLLING, query: { room: "a b" } });
    expect(await seen).toEqual({
      readyState: "open",
      transport: "polling",
      upgraded: false,
      upgrading: false,
      protocol: 4,
    });
    expect(socket.id).toBe(client.id);
    expect(socket.server === server.engine).toBe(true);
    expect(socket.remoteAddress).toMatch(/^(::ffff:)?127\.0\.0\.1$/);
  });

  test("keeps the request of its beginning", async () => {
    const server = await startEngine();
    const { client, socket } = await server.pair({
      transports: ["polling", "websocket"],
      query: { room: "a b" },
      extraHeaders: { "x-mark": "here" },
    });
    if (client.transport.name === "polling") await once(client, "upgrade");
    const { request } = socket;
    expect(request.method).toBe("GET");
    expect(request.url).toContain("/engine.io/?");
    expect(request.headers["x-mark"]).toBe("here");
    expect(request._query).toMatchObject({ EIO: "4", transport: "polling", room: "a b" });
  });

  test.each(TRANSPORTS)("hears packets, then data, then messages (%s)", async (transport) => {
    const server = await startEngine();
    const { socket, send } = await BY_HAND[transport](server);
    const heard = [];
    listen(socket, ["message", "data", "packet"], heard, (given) => [given.type ?? given, given.data ?? ""]);
    const last = once(socket, "message");
    await send("4hello");
    await last;
    expect(heard).toEqual(["packet message hello", "data hello ", "message hello "]);
  });

  test.each(TRANSPORTS)("hears an empty message, which has no data (%s)", async (transport) => {
    const server = await startEngine();
    const { socket, send } = await BY_HAND[transport](server);
    const message = nextMessage(socket);
    await send("4");
    expect(await message).toBeUndefined();
  });

  test("hears bytes as a Buffer", async () => {
    const server = await startEngine();
    const byWebSocket = await BY_HAND.websocket(server);
    const first = nextMessage(byWebSocket.socket);
    await byWebSocket.send(Buffer.from(BYTES));
    const byPolling = await BY_HAND.polling(server);
    const second = nextMessage(byPolling.socket);
    await byPolling.send(`b${Buffer.from(BYTES).toString("base64")}`);
    for (const message of [await first, await second]) {
      expect(Buffer.isBuffer(message)).toBe(true);
      expect([...message]).toEqual(BYTES);
    }
  });

  test("hears all packets of a payload, in order", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const heard = [];
    session.socket.on("message", (data) => heard.push(data.toString()));
    const answer = await session.post(["4a", "bYg==", "4ç€"].join(SEPARATOR));
    expect([answer.status, answer.text, heard]).toEqual([200, "ok", ["a", "b", "ç€"]]);
  });
});

describe("send()", () => {
  test.each(TRANSPORTS)("sends text and gives the socket back (%s)", async (transport) => {
    const server = await startEngine();
    const { socket, next } = await BY_HAND[transport](server);
    expect(socket.send("hello") === socket).toBe(true);
    expect(await next()).toBe("4hello");
    expect(socket.write("again") === socket).toBe(true);
    expect(await next()).toBe("4again");
  });

  test.each([
    ["a Buffer", Buffer.from(BYTES)],
    ["a typed array", Uint8Array.from(BYTES)],
    ["a part of a buffer", Uint8Array.from([0, ...BYTES, 0]).subarray(1, 5)],
    ["an ArrayBuffer", Uint8Array.from(BYTES).buffer],
  ])("sends %s as bytes", async (_what, data) => {
    const server = await startEngine();
    const byWebSocket = await BY_HAND.websocket(server);
    byWebSocket.socket.send(data);
    expect([...(await byWebSocket.next())]).toEqual(BYTES);
    const byPolling = await BY_HAND.polling(server);
    byPolling.socket.send(data);
    expect(await byPolling.next()).toBe(`b${Buffer.from(BYTES).toString("base64")}`);
  });

  test("sends numbers as their digits and nothing as an empty message", async () => {
    const server = await startEngine();
    const { socket, next } = await BY_HAND.websocket(server);
    for (const data of [12, "", null, undefined]) socket.send(data);
    expect([await next(), await next(), await next(), await next()]).toEqual(["412", "4", "4", "4"]);
  });

  test.each(TRANSPORTS)("keeps the order of messages (%s)", async (transport) => {
    const server = await startEngine();
    const { client, socket } = await server.pair({ transports: [transport] });
    const heard = [];
    client.on("message", (data) => heard.push(data));
    const numbers = Array.from({ length: 100 }, (_, n) => String(n));
    for (const number of numbers) socket.send(number);
    await eventually(() => heard.length === 100);
    expect(heard).toEqual(numbers);
  });

  test("collects messages into one payload while nobody polls", async () => {
    const server = await startEngine();
    const session = await server.polling();
    session.socket.send("a");
    session.socket.send("b");
    expect(session.socket.writeBuffer.map((packet) => packet.data)).toEqual(["a", "b"]);
    expect((await session.poll()).text).toBe(`4a${SEPARATOR}4b`);
    expect(session.socket.writeBuffer).toEqual([]);
  });

  test.each(TRANSPORTS)("calls back with the transport when the message is out (%s)", async (transport) => {
    const server = await startEngine();
    const { socket, next } = await BY_HAND[transport](server);
    const called = sent(socket, "a");
    const calledWithOptions = sent(socket, "b", { compress: false });
    await next();
    expect((await within(called, "the callback")) === socket.transport).toBe(true);
    if (transport === "websocket") await next();
    await within(calledWithOptions, "the callback after options");
  });

  test("calls back in order, and not before a poll takes the messages", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const called = [];
    for (const text of ["a", "b", "c"]) session.socket.send(text, () => called.push(text));
    await session.post("4x");
    expect(called).toEqual([]);
    await session.poll();
    expect(called).toEqual(["a", "b", "c"]);
  });

  test("after the end does nothing, and never calls back", async () => {
    const server = await startEngine();
    const { socket } = await server.pair();
    const heard = [];
    socket.on("packetCreate", () => heard.push("packetCreate"));
    const closed = once(socket, "close");
    socket.close();
    await closed;
    expect(socket.send("late", () => heard.push("called")) === socket).toBe(true);
    await server.pair();
    expect([heard, socket.writeBuffer]).toEqual([[], []]);
  });

  test("drops callbacks of messages that nobody took", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const called = [];
    session.socket.send("a", () => called.push("a"));
    const closed = once(session.socket, "close");
    await session.post("1");
    await closed;
    await server.polling();
    expect(called).toEqual([]);
  });
});

describe("sending packets", () => {
  test("tells of their creation, and takes what listeners make of them", async () => {
    const server = await startEngine();
    const { socket, next } = await BY_HAND.websocket(server);
    const made = [];
    socket.on("packetCreate", (packet) => made.push(structuredClone(packet)));
    socket.on("packetCreate", (packet) => {
      packet.data += "!";
    });
    socket.send("a");
    socket.send("b", { compress: false });
    expect(made).toEqual([
      { type: "message", data: "a", options: { compress: true } },
      { type: "message", data: "b", options: { compress: false } },
    ]);
    expect([await next(), await next()]).toEqual(["4a!", "4b!"]);
  });

  test("is possible for other types", async () => {
    const server = await startEngine();
    const { socket, next } = await BY_HAND.websocket(server);
    socket.sendPacket("noop");
    socket.sendPacket("message", "a");
    expect([await next(), await next()]).toEqual(["6", "4a"]);
  });

  test("flushes, drains and calls back in this order over WebSocket", async () => {
    const server = await startEngine();
    const { client, socket } = await server.pair();
    await eventually(() => socket.transport.writable);
    const heard = [];
    listen(socket, ["packetCreate", "flush", "drain"], heard);
    listen(server.engine, ["flush", "drain"], heard, (about) => [
      `of ${about === socket ? "it" : "another"}`,
    ]);
    const arrived = once(client, "message");
    await sent(socket, "a").then(() => heard.push("called"));
    await arrived;
    expect(heard).toEqual(["packetCreate", "flush", "flush of it", "drain", "drain of it", "called"]);
  });

  test("calls back before it drains over polling", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const poll = await session.startPoll();
    await eventually(() => session.socket.transport.writable);
    const heard = [];
    listen(session.socket, ["packetCreate", "flush", "drain"], heard);
    listen(server.engine, ["flush", "headers", "drain"], heard, () => ["of the server"]);
    session.socket.send("a", () => heard.push("called"));
    await poll.answer;
    expect(heard).toEqual([
      "packetCreate",
      "flush",
      "flush of the server",
      "headers of the server",
      "called",
      "drain",
      "drain of the server",
    ]);
  });

  test("shows what is flushed", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const flushed = [];
    const types = (packets) => packets.map(({ type, data }) => `${type} ${data}`);
    session.socket.on("flush", (packets) => flushed.push(types(packets)));
    server.engine.on("flush", (_socket, packets) => flushed.push(types(packets)));
    session.socket.send("a");
    session.socket.send("b");
    expect(flushed).toEqual([]);
    await session.poll();
    expect(flushed).toEqual([
      ["message a", "message b"],
      ["message a", "message b"],
    ]);
  });

  test("tells the server of the opening packet before it tells of the connection", async () => {
    const server = await startEngine();
    const heard = [];
    listen(server.engine, ["initial_headers", "headers"], heard);
    listen(server.engine, ["drain", "connection"], heard, (socket) => [socket.id]);
    listen(server.engine, ["flush"], heard, (socket, [packet]) => [socket.id, packet.type]);
    const { sid: a } = await server.polling();
    const b = (await server.webSocket()).handshake.sid;
    expect(heard).toEqual([
      `flush ${a} open`,
      "initial_headers",
      "headers",
      `drain ${a}`,
      `connection ${a}`,
      "initial_headers",
      "headers",
      `flush ${b} open`,
      `drain ${b}`,
      `connection ${b}`,
    ]);
  });

  test("is possible when the transport is writable: over polling while somebody polls", async () => {
    const server = await startEngine();
    const session = await server.polling();
    expect(session.socket.transport.writable).toBe(false);
    const poll = await session.startPoll();
    await eventually(() => session.socket.transport.writable);
    session.socket.send("a");
    expect(session.socket.transport.writable).toBe(false);
    await poll.answer;
    const webSocket = await server.webSocket();
    await eventually(() => webSocket.engineSocket.transport.writable);
  });
});

describe("heartbeats", () => {
  test("are asked for by the server, answered by the client, and told", async () => {
    const server = await startEngine({ pingInterval: 20 });
    const heard = [];
    const beaten = new Promise((resolve) => {
      server.engine.on("connection", (socket) => {
        listen(socket, ["packetCreate", "packet"], heard, ({ type }) => [type]);
        listen(socket, ["heartbeat"], heard);
        socket.once("heartbeat", resolve);
      });
    });
    const webSocket = await server.webSocket();
    expect(await webSocket.next({ pings: true })).toBe("2");
    webSocket.send("3");
    await within(beaten, "the heartbeat");
    expect(heard.slice(0, 3)).toEqual(["packetCreate ping", "packet pong", "heartbeat"]);
  });

  test("may come unasked", async () => {
    const server = await startEngine();
    const webSocket = await server.webSocket();
    const beaten = once(webSocket.engineSocket, "heartbeat");
    webSocket.send("3");
    expect(await beaten).toEqual([]);
    expect(webSocket.engineSocket.readyState).toBe("open");
  });

  test("keep a session open", async () => {
    const server = await startEngine({ pingInterval: 10, pingTimeout: 2000 });
    const { socket } = await server.pair(POLLING);
    for (let n = 0; n < 3; n += 1) await once(socket, "heartbeat");
    expect(socket.readyState).toBe("open");
  });
});
