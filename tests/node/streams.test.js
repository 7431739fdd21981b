"use strict";

// Connections whose bytes the HTTP server carries because they have no descriptor: under TLS, on Windows and in Bun.

const net = require("node:net");
const { Duplex } = require("node:stream");
const {
  WEBSOCKET,
  afterThisTest,
  connected,
  once,
  open,
  openTcpWebSocket,
  startServer,
} = require("./support");

/** A port in front of the server whose connections are bare streams for it, which may be half open. */
async function startFront(server) {
  const front = net.createServer({ allowHalfOpen: true }, (connection) => {
    connection.on("error", () => {});
    server.httpServer.emit("connection", Duplex.from({ readable: connection, writable: connection }));
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  afterThisTest(() => front.close());
  return { url: `http://127.0.0.1:${front.address().port}`, port: front.address().port };
}

describe("connections that are bare streams", () => {
  test("carry events and acks", async () => {
    const server = await startServer({}, { routes: () => {} });
    server.io.on("connection", (socket) => socket.on("echo", (text, answer) => answer(text)));
    const front = await startFront(server);
    const client = open(front.url, "/", WEBSOCKET);
    await connected(client);
    expect(await client.timeout(5000).emitWithAck("echo", "hello")).toBe("hello");
  });

  test("are closed when the client has ended its half", async () => {
    const server = await startServer({}, { routes: () => {} });
    const front = await startFront(server);
    const client = await openTcpWebSocket(front);
    const [socket] = server.io.sockets.sockets.values();
    const gone = once(socket, "disconnect");
    client.socket.end();
    await client.ended();
    expect((await gone)[0]).toBe("transport close");
  });

  test("let the server close after the client has left", async () => {
    const server = await startServer({}, { routes: () => {} });
    const front = await startFront(server);
    const client = open(front.url, "/", WEBSOCKET);
    await connected(client);
    client.close();
    await server.close();
  });
});
