"use strict";

/** Opens and closes servers of every kind, and counts what they leave of the process's resources. */

const fs = require("node:fs");
const http = require("node:http");
const { io: connect } = require("socket.io-client");
const { underTest } = require("../support/module");
const functions = require("./functions");

/** Rounds enough for a leak of any kind to show. */
const ROUNDS = 40;

function descriptors() {
  return fs.existsSync("/proc/self/fd") ? fs.readdirSync("/proc/self/fd").length : 0;
}

async function used(port, close) {
  const client = connect(`http://127.0.0.1:${port}`, { transports: ["websocket"], reconnection: false });
  await new Promise((resolve) => client.once("connect", resolve));
  await close();
  client.close();
}

async function round() {
  const attached = http.createServer();
  const io = new underTest.Server(attached);
  await new Promise((resolve) => attached.listen(0, "127.0.0.1", resolve));
  await used(attached.address().port, () => io.close());

  // Closed by the application itself, which is enough.
  const own = http.createServer();
  new underTest.Server().attach(own);
  await new Promise((resolve) => own.listen(0, "127.0.0.1", resolve));
  await used(own.address().port, () => new Promise((resolve) => own.close(resolve)));

  const listening = new underTest.Server(0);
  if (!listening.httpServer.listening)
    await new Promise((resolve) => listening.httpServer.once("listening", resolve));
  await used(listening.httpServer.address().port, () => listening.close());

  // Given from the core to Node.
  const moved = new underTest.Server(0);
  await new Promise((resolve) => setImmediate(resolve));
  moved.engine.use((_request, _response, next) => next());
  while (!moved.httpServer.listening) await new Promise((resolve) => setImmediate(resolve));
  await moved.close();

  // Closed before it could be given to the core.
  await new underTest.Server(0).close();

  // Never opened.
  await new underTest.Server(http.createServer()).close();
  await new underTest.Server().close();
}

async function main() {
  await round();
  const before = descriptors();
  for (let n = 0; n < ROUNDS; n += 1) await round();
  // What was closed goes in the turns that follow.
  for (let n = 0; n < 1000 && (functions.size > 0 || descriptors() > before); n += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const left = { functions: functions.size, descriptors: descriptors() - before };
  process.stdout.write(left.functions > 0 || left.descriptors > 0 ? JSON.stringify(left) : "nothing is left");
}

main();
