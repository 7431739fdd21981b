"use strict";

/** An engine that can make no id, and whose listener throws when it is told so. Prints the answer, and how often each was told. */

const http = require("node:http");
const path = require("node:path");
const { once } = require("../support/wait");

const { Server } = require(path.resolve(__dirname, "../../../bindings-node/dist/engine"));

const told = [];
const unhandled = once(process, "unhandledRejection");

async function main() {
  const engine = new Server();
  const httpServer = http.createServer();
  engine.attach(httpServer);
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  engine.generateId = () => Promise.reject(new Error("no id"));
  engine.on("connection_error", ({ context }) => {
    told.push(context.error.message);
    throw new Error("a listener's mistake");
  });
  const target = `http://127.0.0.1:${httpServer.address().port}/engine.io/?EIO=4&transport=polling`;
  const [answer] = await once(http.get(target), "response");
  answer.resume();
  const [error] = await unhandled;
  console.log(JSON.stringify({ status: answer.statusCode, told, unhandled: error.message }));
  engine.close();
  httpServer.close();
  process.exit();
}

main();
