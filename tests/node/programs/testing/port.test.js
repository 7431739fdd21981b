"use strict";

const { once } = require("node:events");
const { io: connect } = require("socket.io-client");
const { Server } = require("under-test");

test("a server with a port of its own is closed in the test", async () => {
  const io = new Server(0);
  if (!io.httpServer.listening) await once(io.httpServer, "listening");
  const client = connect(`http://localhost:${io.httpServer.address().port}`);
  await new Promise((resolve) => client.on("connect", resolve));
  await io.close();
  client.disconnect();
});
