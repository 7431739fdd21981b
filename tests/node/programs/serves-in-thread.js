"use strict";

/** A server in a thread of its own, whose listeners and timers are always at work. */

const http = require("node:http");
const { parentPort, workerData } = require("node:worker_threads");
const { underTest } = require("../support/module");

function serve(io, port) {
  io.on("connection", (socket) => {
    socket.on("echo", (data, answer) => answer(data));
    socket.emit("question", () => {});
  });
  setInterval(() => io.emit("news", Buffer.alloc(1000)), 1);
  parentPort.postMessage(port);
}

if (workerData.door === "listen") {
  const io = new underTest.Server(0);
  const ready = () => serve(io, io.httpServer.address().port);
  if (io.httpServer.listening) ready();
  else io.httpServer.once("listening", ready);
} else {
  const httpServer = http.createServer();
  const io = new underTest.Server(httpServer);
  httpServer.listen(0, "127.0.0.1", () => serve(io, httpServer.address().port));
}
