// A chat on two nodes or more, joined by Redis: `PORT=3001 node two-nodes.mjs`, `PORT=3002 node two-nodes.mjs`.

import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import express from "express";
import { Server } from "ferrio";
import { createClient } from "redis";

const publisher = createClient({ url: process.env.REDIS_URL ?? "redis://127.0.0.1:6379" });
const subscriber = publisher.duplicate();
for (const client of [publisher, subscriber]) client.on("error", (error) => console.error(error.message));
await Promise.all([publisher.connect(), subscriber.connect()]);

const app = express();
const server = createServer(app);
const io = new Server(server, { adapter: createAdapter(publisher, subscriber) });

app.get("/rooms/:room", async (request, response) => {
  // The sockets of all nodes.
  const sockets = await io.in(request.params.room).fetchSockets();
  response.json(sockets.map((socket) => socket.data.name));
});

io.use((socket, next) => {
  const { name } = socket.handshake.auth;
  socket.data.name = name;
  next(typeof name === "string" && name !== "" ? undefined : new Error("say your name"));
});

io.on("connection", (socket) => {
  socket.on("join", async (room, answer) => {
    await socket.join(String(room));
    socket.to(String(room)).emit("joined", socket.data.name);
    if (typeof answer === "function") answer();
  });
  socket.on("say", (room, text) => {
    if (socket.rooms.has(room)) io.to(room).emit("said", socket.data.name, text);
  });
});

server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
);

process.once("SIGTERM", async () => {
  // Told to end, a node lets its clients go to the others.
  await io.close();
  await Promise.all([publisher.close(), subscriber.close()]);
});
