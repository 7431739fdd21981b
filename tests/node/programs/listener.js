"use strict";

/**
 * A worker with a client of its own: it counts the events that the client hears in shared memory, so that a thread that
 * is busy, as in a listener that does not return, can wait for them.
 */

const { parentPort, workerData } = require("node:worker_threads");
const { io: connect } = require("socket.io-client");

const { url, counter } = workerData;
const heard = new Int32Array(counter);
const client = connect(url, { transports: ["websocket"], reconnection: false });

function count() {
  Atomics.add(heard, 0, 1);
  Atomics.notify(heard, 0);
}

client.onAny(count);
client.on("connect", () => parentPort.postMessage("connected"));
parentPort.on("message", (event) => {
  if (event === "close") {
    client.close();
    parentPort.close();
  } else {
    client.emit(event, count);
  }
});
