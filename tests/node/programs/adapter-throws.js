"use strict";

/** An adapter that throws and rejects wherever it is asked: prints what becomes of that, and what is left at the end. */

const { once } = require("node:events");
const { io: connect } = require("socket.io-client");
const { Adapter } = require("socket.io-adapter");
const { underTest } = require("../support/module");

const seen = new Set();
process.on("uncaughtException", (error) => seen.add(`thrown: ${error.message}`));
process.on("unhandledRejection", (error) => seen.add(`rejected: ${error.message}`));

class Broken extends Adapter {
  async init() {
    throw new Error("init");
  }
  async broadcast(packet, opts) {
    super.broadcast(packet, opts);
    throw new Error("broadcast");
  }
  async addAll(id, rooms) {
    super.addAll(id, rooms);
    throw new Error("addAll");
  }
  delAll(id) {
    super.delAll(id);
    throw new Error("delAll");
  }
  async persistSession() {
    throw new Error("persistSession");
  }
  restoreSession() {
    throw new Error("restoreSession");
  }
  async serverCount() {
    throw new Error("serverCount");
  }
  async close() {
    throw new Error("close");
  }
}

async function main() {
  const io = new underTest.Server(0, { adapter: Broken, connectionStateRecovery: {} });
  while (!io.httpServer.address()) await new Promise((resolve) => setTimeout(resolve, 5));
  const url = `http://127.0.0.1:${io.httpServer.address().port}`;
  io.on("connection", (socket) => socket.join("room"));
  const client = connect(url, { transports: ["websocket"], auth: { pid: "claimed", offset: "1" } });
  const heard = once(client, "hello");
  await once(client, "connect");
  io.to("room").emit("hello");
  await heard;
  client.on("ask", (answer) => answer());
  const error = await io
    .timeout(2000)
    .emitWithAck("ask")
    .catch((caught) => caught);
  console.log(error.message, error.responses.length);
  client.io.engine.close();
  const isLeft = () => io.of("/").sockets.size > 0 || (io._held?.().sockets ?? 0) > 0;
  while (isLeft()) await new Promise((resolve) => setTimeout(resolve, 5));
  client.disconnect();
  await io.close();
  console.log([...seen].sort().join("\n"));
}

main();
