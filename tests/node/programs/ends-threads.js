"use strict";

/** Ends threads in which servers are at work, and counts what they leave behind. */

const fs = require("node:fs");
const path = require("node:path");
const { Worker } = require("node:worker_threads");
const { io: connect } = require("socket.io-client");

const [, , door] = process.argv;
const ROUNDS = 8;

const count = (folder) => (fs.existsSync(folder) ? fs.readdirSync(folder).length : 0);
const descriptors = () => count("/proc/self/fd");
const threads = () => count("/proc/self/task");

async function round() {
  const worker = new Worker(path.join(__dirname, "serves-in-thread.js"), { workerData: { door } });
  const failed = new Promise((_, reject) => worker.on("error", reject));
  const port = await Promise.race([new Promise((resolve) => worker.once("message", resolve)), failed]);
  const clients = ["websocket", "polling", "websocket"].map((transport) =>
    connect(`http://127.0.0.1:${port}`, { transports: [transport], reconnection: false, forceNew: true }),
  );
  const gone = clients.map((client) => new Promise((resolve) => client.on("disconnect", resolve)));
  await Promise.all(clients.map((client) => client.emitWithAck("echo", Buffer.alloc(100000))));
  for (const client of clients) for (let n = 0; n < 100; n += 1) client.emit("echo", n, () => {});
  await worker.terminate();
  await Promise.all(gone);
  const late = connect(`http://127.0.0.1:${port}`, { reconnection: false, forceNew: true });
  await new Promise((resolve, reject) => {
    late.on("connect_error", resolve);
    late.on("connect", () => reject(new Error("somebody answers")));
  });
}

async function main() {
  await round();
  const before = [descriptors(), threads()];
  for (let n = 0; n < ROUNDS; n += 1) await round();
  const isClean = () => descriptors() <= before[0] && threads() <= before[1];
  for (let n = 0; n < 500 && !isClean(); n += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  const left = { descriptors: descriptors() - before[0], threads: threads() - before[1] };
  process.stdout.write(isClean() ? "nothing is left" : JSON.stringify(left));
}

main();
