"use strict";

/**
 * A worker of a cluster: a server on a port of its own, or with `STICKY` behind the primary's. It runs what the primary
 * sends it, which is text, because functions cannot cross.
 */

const http = require("node:http");
const { createAdapter } = require("@socket.io/cluster-adapter");
const { setupWorker } = require("@socket.io/sticky");
const { Server } = require(process.env.SERVER_MODULE);

const httpServer = http.createServer();
const io = new Server(httpServer, {
  adapter: createAdapter({ heartbeatInterval: 200, heartbeatTimeout: 2000 }),
  cleanupEmptyChildNamespaces: true,
  ...JSON.parse(process.env.SERVER_OPTIONS || "{}"),
});

process.on("message", async (message) => {
  if (message.type !== "run") return;
  const { number, task, args } = message;
  try {
    // biome-ignore lint/security/noGlobalEval: the text is the test's own.
    const result = await globalThis.eval(`(${task})`)(io, ...args);
    process.send({ type: "done", number, result });
  } catch (error) {
    process.send({ type: "done", number, error: error.stack });
  }
});

if (process.env.STICKY) {
  setupWorker(io);
  process.send({ type: "ready" });
} else {
  // Otherwise the workers of a cluster share one port.
  httpServer.listen({ port: 0, host: "127.0.0.1", exclusive: true }, () => {
    process.send({ type: "ready", port: httpServer.address().port });
  });
}
