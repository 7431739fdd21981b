"use strict";

/** A Socket.IO server on an engine that the application has made. */

const http = require("node:http");
const { connected, open, POLLING, UPGRADE, upgraded, WEBSOCKET } = require("../support/client");
const { underTest } = require("../support/module");
const { afterThisTest, bound, engineModule, ferrioOnly, once, stop } = require("./support");

const TRANSPORTS = { polling: POLLING, websocket: WEBSOCKET, upgrade: UPGRADE };

/** Starts an HTTP server whose requests the engine serves in this `way`, with a Socket.IO server on it. */
async function startBound(way, options = {}) {
  const engine = new engineModule.Server(options);
  const io = new underTest.Server();
  const httpServer = http.createServer();
  if (way === "attached before") engine.attach(httpServer, { path: "/socket.io/" });
  io.bind(engine);
  if (way === "attached after") engine.attach(httpServer, { path: "/socket.io/" });
  if (way === "by hand") {
    httpServer.on("request", (request, response) => engine.handleRequest(request, response));
    httpServer.on("upgrade", (request, socket, head) => engine.handleUpgrade(request, socket, head));
  }
  await bound(httpServer);
  afterThisTest(async () => {
    engine.close();
    await stop(httpServer);
  });
  const url = `http://127.0.0.1:${httpServer.address().port}`;
  const connect = async (name, clientOptions) => {
    const client = open(url, name, clientOptions);
    await connected(client);
    return client;
  };
  return { engine, io, httpServer, connect };
}

describe.each(["attached before", "attached after", "by hand"])("an engine %s", (way) => {
  test.each(Object.entries(TRANSPORTS))("carries sockets by %s", async (name, transports) => {
    const { io, engine, connect } = await startBound(way);
    expect(io.engine === engine).toBe(true);
    io.of("/chat").on("connection", (socket) => {
      socket.join("room");
      socket.on("hello", (value, answer) => {
        io.of("/chat").to("room").emit("said", value);
        answer(socket.conn.server === engine);
      });
    });
    const client = await connect("/chat", transports);
    if (name === "upgrade") await upgraded(client);
    const said = once(client, "said");
    const bytes = Buffer.from([1, 2, 3]);
    expect(await client.timeout(10000).emitWithAck("hello", { bytes })).toBe(true);
    expect(await said).toEqual([{ bytes }]);
    expect(engine.clientsCount).toBe(1);
  });
});

test("the options of the engine count", async () => {
  const { connect, io } = await startBound("attached after", {
    pingInterval: 12345,
    allowRequest: (request, answer) => answer(null, request.headers.token === "right"),
  });
  const connection = once(io.engine, "connection");
  const client = await connect("/", { extraHeaders: { token: "right" } });
  expect(client.io.engine._pingInterval).toBe(12345);
  expect((await connection)[0].request.headers.token).toBe("right");
  await expect(connect("/", { extraHeaders: { token: "wrong" } })).rejects.toThrow("websocket error");
});

test("closing the Socket.IO server disconnects its sockets and leaves the HTTP server open", async () => {
  const { io, httpServer, connect } = await startBound("by hand");
  const disconnection = new Promise((resolve) => {
    io.on("connection", (socket) => socket.on("disconnect", resolve));
  });
  const client = await connect("/");
  const gone = once(client, "disconnect");
  await io.close();
  expect(await disconnection).toBe("server shutting down");
  await gone;
  expect(httpServer.listening).toBe(true);
});

ferrioOnly("the official server takes any emitter, and many times", () => {
  test("other engines are refused", () => {
    const io = new underTest.Server();
    expect(() => io.bind({ on() {} })).toThrow(
      "bind() takes a server of `ferrio/engine`: the sessions of other engines cannot be served",
    );
  });

  test("an engine is bound once, to a server that has not begun", async () => {
    const { io, engine } = await startBound("attached after");
    expect(() => io.bind(new engineModule.Server())).toThrow("the server has an engine that serves already");
    expect(() => new underTest.Server().bind(engine)).toThrow("the engine has a Socket.IO server already");
    const httpServer = http.createServer();
    expect(() => new underTest.Server(httpServer).bind(new engineModule.Server())).toThrow(
      "the server has an engine that serves already",
    );
  });

  test("attachApp says what to do instead", () => {
    expect(() => new underTest.Server().attachApp({})).toThrow(
      /uWebSockets\.js .* Call listen\(port\) instead/,
    );
  });
});
