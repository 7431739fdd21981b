"use strict";

/** The nodes of a cluster, in this process. */

const http = require("node:http");
const clients = require("../../node/support/client");
const { eventually, within } = require("../../node/support/wait");
const { underTest } = require("./module");

/** One server with its adapter. */
class LocalNode {
  constructor(io, port, release) {
    this.io = io;
    this.url = `http://127.0.0.1:${port}`;
    this.release = release;
  }

  /** Runs `task` beside the server, as `task(io, ...args)`; where that is another process, by its text. */
  async run(task, ...args) {
    return task(this.io, ...args);
  }

  /** A connected client of this node, which is closed after the test. */
  async connect(name = "/", options = {}) {
    const client = clients.open(this.url, name, options);
    await clients.connected(client);
    return client;
  }

  async close() {
    if (this.isClosed) return;
    this.isClosed = true;
    await within(this.io.close(), "the server to close");
    await this.release();
  }
}

/** Starts a node; `makeAdapter` returns its adapter and how to let go of what that needs. */
async function startNode(makeAdapter, { module = underTest, options = {} } = {}) {
  const { Server } = require(module);
  const { adapter, release } = await makeAdapter();
  const httpServer = http.createServer();
  const io = new Server(httpServer, { cleanupEmptyChildNamespaces: true, ...options, adapter });
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  return new LocalNode(io, httpServer.address().port, release);
}

/** Starts a node for each of `modules`. */
function startNodes(makeAdapter, { modules = [underTest, underTest, underTest], options } = {}) {
  return Promise.all(modules.map((module) => startNode(makeAdapter, { module, options })));
}

/** Returns when every node knows of all others, and what each of them sends arrives at all of them. */
async function acquainted(nodes, name = "/") {
  const listeners = await Promise.all(nodes.map((node) => node.connect(name)));
  await reaching(nodes, listeners, (io, namespace, probe) => io.of(namespace).emit("probe", probe), name);
  for (const node of nodes) {
    await eventually(
      async () =>
        (await node.run((io, namespace) => io.of(namespace).adapter.serverCount(), name)) === nodes.length,
    );
  }
  for (const client of listeners) client.disconnect();
  await deserted(nodes, name);
}

/** Has every node `send` a probe again and again until all clients have heard it from each of them. */
async function reaching(nodes, listeners, send, ...args) {
  const heard = new Set();
  const hear = listeners.map((client, n) => {
    const listener = (probe) => heard.add(`${n} ${probe}`);
    client.on("probe", listener);
    return () => client.off("probe", listener);
  });
  for (const [from, node] of nodes.entries()) {
    await eventually(async () => {
      await node.run(send, ...args, from);
      return listeners.every((_, n) => heard.has(`${n} ${from}`));
    });
  }
  for (const stop of hear) stop();
}

/** Returns when no node has a client left. */
async function deserted(nodes, name = "/") {
  for (const node of nodes) {
    await eventually(() => node.run((io, namespace) => io.of(namespace).sockets.size === 0, name));
  }
}

module.exports = { LocalNode, startNode, startNodes, acquainted, reaching, deserted };
