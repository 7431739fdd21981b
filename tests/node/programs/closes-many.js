"use strict";

/** Opens and closes servers of every kind, and counts what they leave behind. */

const fs = require("node:fs");
const http = require("node:http");
const { io: connect } = require("socket.io-client");
const { underTest } = require("../support/module");
const functions = require("./functions");

/** Rounds enough for a leak of any kind to show. */
const ROUNDS = 40;

/** The servers that the garbage collector has not taken. */
const servers = new Set();

function makeServer(...args) {
  const io = new underTest.Server(...args);
  servers.add(new WeakRef(io));
  return io;
}

function collect() {
  global.gc();
  for (const server of servers) if (server.deref() === undefined) servers.delete(server);
}

const count = (folder) => (fs.existsSync(folder) ? fs.readdirSync(folder).length : 0);
const descriptors = () => count("/proc/self/fd");
const threads = () => count("/proc/self/task");

async function used(port, close) {
  const client = connect(`http://127.0.0.1:${port}`, { transports: ["websocket"], reconnection: false });
  await new Promise((resolve) => client.once("connect", resolve));
  await close();
  client.close();
}

async function round() {
  const attached = http.createServer();
  const io = makeServer(attached);
  await new Promise((resolve) => attached.listen(0, "127.0.0.1", resolve));
  await used(attached.address().port, () => io.close());

  // Closed by the application itself, which is enough.
  const own = http.createServer();
  makeServer().attach(own);
  await new Promise((resolve) => own.listen(0, "127.0.0.1", resolve));
  await used(own.address().port, () => new Promise((resolve) => own.close(resolve)));

  const listening = makeServer(0);
  if (!listening.httpServer.listening)
    await new Promise((resolve) => listening.httpServer.once("listening", resolve));
  await used(listening.httpServer.address().port, () => listening.close());

  // Given from the core to Node.
  const moved = makeServer(0);
  await new Promise((resolve) => setImmediate(resolve));
  moved.engine.use((_request, _response, next) => next());
  while (!moved.httpServer.listening) await new Promise((resolve) => setImmediate(resolve));
  await moved.close();

  // Closed before it could be given to the core.
  await makeServer(0).close();

  // Never opened.
  await makeServer(http.createServer()).close();
  await makeServer().close();
}

async function main() {
  await round();
  const before = { descriptors: descriptors(), threads: threads() };
  // Those of the last round may still be in hand.
  const nOfRound = servers.size;
  for (let n = 0; n < ROUNDS; n += 1) await round();
  // What was closed goes in the turns that follow.
  const isClean = () =>
    functions.size === 0 &&
    descriptors() <= before.descriptors &&
    threads() <= before.threads &&
    servers.size <= nOfRound;
  for (let n = 0; n < 1000 && !isClean(); n += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collect();
  }
  const left = {
    functions: functions.size,
    descriptors: descriptors() - before.descriptors,
    threads: threads() - before.threads,
    servers: servers.size,
  };
  process.stdout.write(isClean() ? "nothing is left" : JSON.stringify(left));
}

main();
