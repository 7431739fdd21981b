"use strict";

/** The same engine below a Socket.IO server: `io.engine` and `socket.conn`. */

const { EventEmitter } = require("node:events");
const {
  POLLING,
  UPGRADE,
  eventually,
  once,
  openPolling,
  refusedWebSocket,
  request,
  startServer,
  within,
} = require("../support");

/** A pair whose connection has upgraded, or begun, as WebSocket. */
async function upgradedPair(server) {
  const { client, socket } = await server.pair("/", UPGRADE);
  if (!socket.conn.upgraded) await once(socket.conn, "upgrade");
  return { client, socket };
}

describe("io.engine", () => {
  test("is an emitter that tells of connections before sockets are there", async () => {
    const server = await startServer();
    expect(server.io.engine).toBeInstanceOf(EventEmitter);
    const heard = [];
    server.io.engine.on("connection", (conn) => heard.push(["engine", conn.id]));
    server.io.on("connection", (socket) => heard.push(["socket", socket.conn.id]));
    const { client } = await server.pair();
    const { id } = client.io.engine;
    expect(heard).toEqual([
      ["engine", id],
      ["socket", id],
    ]);
  });

  test("gives the connection that sockets have", async () => {
    const server = await startServer();
    const connection = once(server.io.engine, "connection");
    const { socket } = await server.pair();
    const [conn] = await connection;
    expect(conn === socket.conn).toBe(true);
    expect(socket.client.conn === conn).toBe(true);
    expect(conn.server === server.io.engine).toBe(true);
    expect([conn.request === socket.request, conn.request === socket.client.request]).toEqual([true, true]);
    expect(conn.remoteAddress).toBe(socket.handshake.address);
  });

  test("counts and keeps connections, with or without sockets", async () => {
    const server = await startServer();
    await server.pair();
    const session = await openPolling(server, { join: false });
    const { engine } = server.io;
    expect([engine.clientsCount, Object.keys(engine.clients).length]).toEqual([2, 2]);
    expect(engine.clients[session.sid].id).toBe(session.sid);
  });

  test("has the options", async () => {
    const server = await startServer({ pingInterval: 1234, transports: ["polling"] });
    expect(server.io.engine.opts).toMatchObject({
      pingInterval: 1234,
      pingTimeout: 20000,
      transports: ["polling"],
    });
  });

  test("has options that may be changed", async () => {
    const server = await startServer();
    const { engine } = server.io;
    engine.opts.pingInterval = 12345;
    engine.opts.allowRequest = (asked, answer) => answer(null, asked.headers.token === "right");
    const { client } = await server.pair("/", { extraHeaders: { token: "right" } });
    expect([client.io.engine._pingInterval, engine.opts.pingInterval]).toEqual([12345, 12345]);
    expect((await request(server, "/socket.io/?EIO=4&transport=polling")).status).toBe(403);
  });

  test.each([
    ["at once", () => "given"],
    ["later", async () => "given"],
  ])("takes ids that are made %s", async (_when, generateId) => {
    const server = await startServer();
    server.io.engine.generateId = generateId;
    const { client, socket } = await server.pair();
    expect([client.io.engine.id, socket.conn.id]).toEqual(["given", "given"]);
    expect(client.id).not.toBe("given");
  });

  test("refuses clients for whom no id can be made", async () => {
    const server = await startServer();
    server.io.engine.generateId = () => {
      throw new Error("no more ids");
    };
    const error = once(server.io.engine, "connection_error");
    const answer = await request(server, "/socket.io/?EIO=4&transport=polling");
    expect(answer.status).toBe(400);
    const [{ code, context }] = await error;
    expect([code, context.name, context.error.message]).toEqual([3, "ID_GENERATION_ERROR", "no more ids"]);
  });

  test("tells of refusals", async () => {
    const server = await startServer();
    const error = once(server.io.engine, "connection_error");
    await request(server, "/socket.io/?EIO=4&transport=polling&sid=nobody");
    const [{ req, code, message, context }] = await error;
    expect([code, message, context]).toEqual([1, "Session ID unknown", { sid: "nobody" }]);
    expect(req._query.sid).toBe("nobody");
  });

  test("tells of headers, and runs middlewares, before connections", async () => {
    const server = await startServer();
    const heard = [];
    server.io.engine.use((asked, response, next) => {
      heard.push(`use ${asked._query.transport}`);
      response.setHeader("x-used", "1");
      next();
    });
    for (const event of ["initial_headers", "headers", "connection"]) {
      server.io.engine.on(event, () => heard.push(event));
    }
    const session = await openPolling(server, { join: false });
    expect(heard).toEqual(["use polling", "initial_headers", "headers", "connection"]);
    expect((await session.post("40")).headers["x-used"]).toBe("1");
    expect(heard.slice(4)).toEqual(["use polling", "headers"]);
  });

  test("closes all connections, not the server", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const reason = once(socket, "disconnect");
    const lost = once(client, "disconnect");
    server.io.engine.close();
    expect((await reason)[0]).toBe("forced close");
    expect((await lost)[0]).toBe("transport close");
    expect(server.io.engine.clientsCount).toBe(0);
  });

  test("refuses WebSockets when it is closed", async () => {
    const server = await startServer();
    await server.pair();
    server.io.engine.close();
    // A port of the core's own moves to Node first, and is shut for a moment.
    const refusal = await eventually(() => refusedWebSocket(server, "/socket.io/?EIO=4&transport=websocket"));
    expect(refusal).toEqual({ status: 503, text: "Service Unavailable" });
    await openPolling(server);
  });
});

describe("socket.conn", () => {
  test("hears what sockets hear, as packets and as text", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const heard = [];
    socket.conn.on("packet", ({ type, data }) => heard.push(["packet", type, data]));
    socket.conn.on("data", (data) => heard.push(["data", data]));
    socket.conn.on("message", (data) => heard.push(["message", data]));
    socket.on("greet", (name) => heard.push(["event", name]));
    const told = once(socket, "greet");
    client.emit("greet", "ada");
    await told;
    const text = '2["greet","ada"]';
    expect(heard).toEqual([
      ["packet", "message", text],
      ["data", text],
      ["message", text],
      ["event", "ada"],
    ]);
  });

  test("hears what sockets send", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const made = [];
    socket.conn.on("packetCreate", ({ type, data }) => made.push([type, data]));
    const told = once(client, "greet");
    socket.emit("greet", "ada");
    await told;
    expect(made).toEqual([["message", '2["greet","ada"]']]);
  });

  test("hears what goes to everybody", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const made = [];
    socket.conn.on("packetCreate", ({ data }) => made.push(data));
    const told = once(client, "greet");
    server.io.emit("greet", "all");
    await told;
    expect(made).toEqual(['2["greet","all"]']);
  });

  test("hears heartbeats, flushes and drains", async () => {
    const server = await startServer({ pingInterval: 20 });
    const { socket } = await server.pair();
    await once(socket.conn, "heartbeat");
    const flushed = once(socket.conn, "flush");
    const drained = once(socket.conn, "drain");
    socket.emit("greet");
    expect((await flushed)[0].map(({ type }) => type)).toContain("message");
    expect(await drained).toEqual([]);
  });

  test("sends by itself", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const told = once(client, "greet");
    const called = new Promise((resolve) => socket.conn.send('2["greet","by hand"]', resolve));
    expect(await told).toEqual(["by hand"]);
    expect((await within(called, "the callback")) === socket.conn.transport).toBe(true);
  });

  test("tells of its upgrade", async () => {
    const server = await startServer();
    const heard = [];
    server.io.engine.on("connection", (conn) => {
      for (const event of ["upgrading", "upgrade"]) conn.on(event, ({ name }) => heard.push([event, name]));
    });
    const { socket } = await upgradedPair(server);
    expect(heard).toEqual([
      ["upgrading", "websocket"],
      ["upgrade", "websocket"],
    ]);
    expect([socket.conn.transport.name, socket.conn.upgraded, socket.conn.upgrading]).toEqual([
      "websocket",
      true,
      false,
    ]);
  });

  test("says why it closed, after its sockets", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const heard = [];
    socket.conn.on("close", (reason) => heard.push(["conn", reason]));
    socket.on("disconnect", (reason) => heard.push(["socket", reason]));
    const left = once(socket, "disconnect");
    client.io.engine.close();
    await left;
    // Socket.IO listens first, thus its sockets are told first.
    expect(heard).toEqual([
      ["socket", "transport close"],
      ["conn", "transport close"],
    ]);
  });

  test("closes for all its sockets", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair("/", POLLING);
    const left = once(socket, "disconnect");
    const lost = once(client, "disconnect");
    socket.conn.close();
    expect((await left)[0]).toBe("forced close");
    expect((await lost)[0]).toBe("transport close");
    expect(socket.conn.readyState).toBe("closed");
  });

  test("says whether it can be written to", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const conn = server.io.engine.clients[session.sid];
    expect([conn.transport.name, conn.transport.writable, conn.readyState]).toEqual([
      "polling",
      false,
      "open",
    ]);
  });
});
