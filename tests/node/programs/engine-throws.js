"use strict";

/**
 * An engine on which every listener throws, in every way that a client can bring it about. Prints how many errors the
 * process saw, whether the engine still serves, and what it holds at the end.
 */

const http = require("node:http");
const path = require("node:path");
const { Socket: ClientSocket } = require("engine.io-client");
const { eventually, once } = require("../support/wait");

const { Server } = require(path.resolve(__dirname, "../../../bindings-node/dist/engine"));

const OF_SERVER = ["connection", "connection_error", "initial_headers", "headers", "flush", "drain"];
const OF_SOCKET = [
  "packet",
  "data",
  "message",
  "packetCreate",
  "heartbeat",
  "flush",
  "drain",
  "upgrading",
  "upgrade",
  "close",
];

const seen = new Set();
process.on("uncaughtException", (error) => seen.add(error.message));
process.on("unhandledRejection", (error) => seen.add(error.message));

const fail = (name) => () => {
  throw new Error(name);
};

async function main() {
  const engine = new Server({ pingInterval: 20 });
  const httpServer = http.createServer();
  engine.attach(httpServer);
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  const url = `http://127.0.0.1:${httpServer.address().port}`;

  const sockets = [];
  engine.on("connection", (socket) => {
    sockets.push(socket);
    for (const event of OF_SOCKET) socket.on(event, fail(`socket ${event}`));
    socket.transport.on("close", fail("transport close"));
    setImmediate(() => {
      try {
        socket.send("to the client", fail("callback"));
      } catch (error) {
        // From `packetCreate`, whose listeners are called by `send`.
        seen.add(error.message);
      }
    });
  });
  for (const event of OF_SERVER) engine.on(event, fail(`server ${event}`));

  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    const client = new ClientSocket(url, { transports });
    await once(client, "open");
    client.send("to the server");
    if (transports.length === 2) await once(client, "upgrade");
    await eventually(() => sockets.length > 0);
    await new Promise((resolve) => client.once("ping", resolve));
    client.close();
  }
  await new Promise((resolve) =>
    http.get(`${url}/engine.io/?transport=pigeon`, (answer) => resolve(answer.resume())),
  );
  // The refusal is told of beside its answer, not before it.
  await eventually(() => seen.has("server connection_error"));
  await eventually(() => sockets.length === 3 && sockets.every((socket) => socket.readyState === "closed"));

  for (const event of OF_SERVER) engine.removeAllListeners(event);
  engine.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
  const client = new ClientSocket(url, { transports: ["websocket"] });
  client.on("open", () => client.send("still serving"));
  const [answer] = await once(client, "message");
  client.close();
  const held = () => Object.entries(engine._held()).filter(([, n]) => n > 0);
  await eventually(() => held().length === 0);
  httpServer.close();
  httpServer.closeAllConnections();
  process.stdout.write(JSON.stringify({ answer, held: held(), seen: [...seen].sort() }));
}

main();
