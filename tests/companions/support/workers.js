"use strict";

/** Nodes that are workers of a cluster of node:cluster, whose primary is the test. */

const cluster = require("node:cluster");
const path = require("node:path");
const clients = require("../../node/support/client");
const { within } = require("../../node/support/wait");
const { underTest } = require("./module");

/** One worker. */
class WorkerNode {
  #waiting = new Map();
  #nextNumber = 0;

  constructor(worker) {
    this.worker = worker;
    this.gone = new Promise((resolve) => worker.once("exit", resolve));
    this.gone.then(() => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the worker has ended"));
    });
    worker.on("message", ({ type, number, result, error }) => {
      if (type !== "done") return;
      const { resolve, reject } = this.#waiting.get(number);
      this.#waiting.delete(number);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    });
  }

  /** Runs `task` in the worker, as `task(io, ...args)`, by its text. */
  run(task, ...args) {
    const number = this.#nextNumber;
    this.#nextNumber += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.worker.send({ type: "run", number, task: task.toString(), args });
    });
  }

  async connect(name = "/", options = {}) {
    const client = clients.open(this.url, name, options);
    await clients.connected(client);
    return client;
  }

  /** Closes the server, and then the process. */
  async close() {
    if (this.worker.isDead()) return;
    await within(
      this.run((io) => io.close()),
      "the server to close",
    );
    await this.kill();
  }

  /** Ends the process at once. */
  async kill() {
    this.worker.process.kill("SIGKILL");
    await within(this.gone, "the worker to end");
  }
}

/** Starts a worker. */
async function startWorker({ module = underTest, sticky = false, options = {} } = {}) {
  cluster.setupPrimary({
    exec: path.join(__dirname, "../programs/worker.js"),
    // For bytes.
    serialization: "advanced",
  });
  const worker = cluster.fork({
    SERVER_MODULE: module,
    SERVER_OPTIONS: JSON.stringify(options),
    ...(sticky ? { STICKY: "1" } : {}),
  });
  const node = new WorkerNode(worker);
  const ready = new Promise((resolve, reject) => {
    worker.on("message", (message) => message.type === "ready" && resolve(message.port));
    node.gone.then((code) => reject(new Error(`a worker ended with ${code}`)));
  });
  node.url = `http://127.0.0.1:${await within(ready, "a worker to be ready")}`;
  return node;
}

module.exports = { startWorker };
