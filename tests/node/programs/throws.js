"use strict";

/** Throws in a handler, in the way that the first argument names, and prints what the process makes of it. */

const { once } = require("node:events");
const http = require("node:http");
const { io: connect } = require("socket.io-client");
const { underTest } = require("../support/module");

const [, , way] = process.argv;

for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error) => {
    process.stdout.write(`${event}: ${error.message}; `);
  });
}

const httpServer = http.createServer();
const io = new underTest.Server(httpServer);

if (way === "middleware") {
  io.use((socket, next) => {
    if (socket.handshake.auth.isBad) throw new Error("from a middleware");
    next();
  });
}

io.on("connection", (socket) => {
  socket.on("throw", () => {
    throw new Error("from a listener");
  });
  socket.on("reject", async () => {
    throw new Error("from an async listener");
  });
  socket.on("ask", (answer) => answer("still serving"));
  if (way === "connection") throw new Error("from the connection handler");
});

function open(auth) {
  return connect(`http://127.0.0.1:${httpServer.address().port}`, {
    transports: ["websocket"],
    reconnection: false,
    forceNew: true,
    auth,
  });
}

/** Resolves when the middleware has thrown for a client, which nobody answers. */
async function meetMiddleware() {
  const thrown = Promise.race([once(process, "uncaughtException"), once(process, "unhandledRejection")]);
  const client = open({ isBad: true });
  await thrown;
  client.disconnect();
}

httpServer.listen(0, "127.0.0.1", async () => {
  const client = open({});
  if (way === "middleware") await meetMiddleware();
  else if (way !== "connection") client.emit(way);
  process.stdout.write(await client.emitWithAck("ask"));
  await io.close();
});
