"use strict";

/** Throws in a handler, in the way that the first argument names, and prints what the process makes of it. */

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

httpServer.listen(0, "127.0.0.1", async () => {
  const client = connect(`http://127.0.0.1:${httpServer.address().port}`, {
    transports: ["websocket"],
    reconnection: false,
  });
  if (way !== "connection") client.emit(way);
  process.stdout.write(await client.emitWithAck("ask"));
  await io.close();
});
