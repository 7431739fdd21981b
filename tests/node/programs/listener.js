"use strict";

/**
 * A worker with clients of its own: it counts the events that they hear in shared memory, so that a thread that is busy,
 * as in a listener that does not return, can wait for them.
 */

const { parentPort, workerData } = require("node:worker_threads");
const { io: connect } = require("socket.io-client");

const { url, counter, transport, n } = workerData;
const heard = new Int32Array(counter);
const options = { transports: [transport], forceNew: true, reconnection: false, rejectUnauthorized: false };
const clients = Array.from({ length: n }, () => connect(url, options));

function count() {
  Atomics.add(heard, 0, 1);
  Atomics.notify(heard, 0);
}

const connected = clients.map((client) => new Promise((resolve) => client.on("connect", resolve)));
for (const client of clients) {
  client.onAny(count);
  client.on("disconnect", count);
}
Promise.all(connected).then(() => parentPort.postMessage("connected"));
parentPort.on("message", (event) => {
  if (event === "close") {
    for (const client of clients) client.close();
    parentPort.close();
  } else {
    clients[0].emit(event, count);
  }
});
