// Figures for those who look: `node dashboard.mjs`, then open the address that it prints.

import { createServer } from "node:http";
import os from "node:os";
import { fileURLToPath } from "node:url";
import express from "express";
import { Server } from "ferrio";

const EVERY = 1000;
const MAX_KEPT = 60;

const app = express();
const server = createServer(app);
const io = new Server(server);
const dashboard = io.of("/dashboard");

app.get("/", (_request, response) =>
  response.sendFile(fileURLToPath(new URL("dashboard.html", import.meta.url))),
);

const kept = [];

function measure() {
  kept.push({
    time: Date.now(),
    load: os.loadavg()[0],
    memory: process.memoryUsage().rss,
    clients: io.engine.clientsCount,
  });
  if (kept.length > MAX_KEPT) kept.shift();
  return kept[kept.length - 1];
}

// The adapter tells when a room gets its first member and loses its last: nobody looks, nothing is sent.
let timer;
dashboard.adapter.on("create-room", (room) => {
  if (room === "watchers")
    timer = setInterval(() => dashboard.to("watchers").emit("figures", [measure()]), EVERY);
});
dashboard.adapter.on("delete-room", (room) => {
  if (room === "watchers") clearInterval(timer);
});

dashboard.on("connection", (socket) => {
  socket.join("watchers");
  measure();
  socket.emit("figures", kept);
});

server.listen(Number(process.env.PORT ?? 3000), () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
);
