"use strict";

/** Serves a few clients and closes everything it opened; the process shall then end by itself. */

const http = require("node:http");
const { io: connect } = require("socket.io-client");
const { underTest } = require("../support/module");

const withPendingAck = process.argv[2] === "with a pending ack";

async function serve(io, port) {
  io.on("connection", (socket) => {
    if (withPendingAck) socket.timeout(60000).emit("never answered", () => {});
    socket.on("ping me", (answer) => answer("pong"));
  });
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    const client = connect(`http://127.0.0.1:${port}`, { transports, reconnection: false, forceNew: true });
    process.stdout.write(`${await client.emitWithAck("ping me")} `);
  }
  await io.close();
}

async function main() {
  const httpServer = http.createServer();
  const attached = new underTest.Server(httpServer);
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  await serve(attached, httpServer.address().port);

  const listening = new underTest.Server(0);
  if (!listening.httpServer.listening)
    await new Promise((resolve) => listening.httpServer.once("listening", resolve));
  await serve(listening, listening.httpServer.address().port);

  // A server that was never attached holds nothing either.
  new underTest.Server();
  process.stdout.write("closed");
}

main();
