// A server that the admin UI is tried on, and a client of it. It says where it listens.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { Server, instrument } = require("../..");

const io = new Server(0, { cors: { origin: true, credentials: true } });
instrument(io, {
  auth: { type: "basic", username: "admin", password: process.env.ADMIN_HASH },
  mode: "development",
  serverId: "the server",
});
io.on("connection", (socket) => {
  socket.data.nickname = "ann";
  socket.join("lobby");
  socket.on("say", (text) => io.to("lobby").emit("said", text));
});

const wait = setInterval(() => {
  const address = io.httpServer.address();
  if (address === null) return;
  clearInterval(wait);
  console.log(`http://127.0.0.1:${address.port}`);
}, 5);
