"use strict";

/**
 * A server with a little of everything, which is closed then. What is printed is the debug output alone. Arguments: the
 * way of the server's port, and how the output is turned on.
 */

const http = require("node:http");
const path = require("node:path");
const { format } = require("node:util");
const { io: connect } = require("socket.io-client");
const { moduleName, underTest } = require("../support/module");

const [, , door, how] = process.argv;

/** The instance that the package under test has. */
const from = path.isAbsolute(moduleName)
  ? moduleName
  : path.dirname(require.resolve(`${moduleName}/package.json`));
const debug = require(require.resolve("debug", { paths: [from] }));

const NAMES = "socket.io:*,socket.io-parser,engine,engine:*";

if (how === "enabled at run time") {
  debug.log = (...args) => process.stdout.write(`own log: ${format(...args)}\n`);
}

function serve(io, port) {
  io.of(/^\/dynamic-\d+$/).use((_socket, next) => next(new Error("not in")));
  io.on("connection", (socket) => {
    socket.on("greet", (word, answer) => {
      socket.join("greeted");
      answer(word);
      socket.leave("greeted");
      io.emit("news", "for all");
      socket.timeout(5000).emit("ask", (_error, answered) => socket.emit("answered", answered));
    });
  });
  const client = connect(`http://127.0.0.1:${port}`, { reconnection: false });
  const refused = client.io.socket("/dynamic-1");
  client.on("ask", (answer) => answer("fine"));
  const hears = (emitter, event) => new Promise((resolve) => emitter.on(event, resolve));
  const upgraded = new Promise((resolve) =>
    client.io.on("open", () => client.io.engine.on("upgrade", resolve)),
  );
  const all = [
    hears(client, "answered"),
    hears(refused, "connect_error"),
    upgraded,
    hears(client.io, "ping"),
    client.emitWithAck("greet", "hello"),
  ];
  Promise.all(all).then(() => {
    client.disconnect();
    // Behind the word of the client that it leaves.
    setTimeout(() => io.close(), 100);
  });
}

function main() {
  if (how === "enabled at run time") debug.enable(NAMES);
  const options = { pingInterval: 200 };
  if (door === "listen") {
    const io = new underTest.Server(0, options);
    const ready = () => serve(io, io.httpServer.address().port);
    if (io.httpServer.listening) ready();
    else io.httpServer.once("listening", ready);
  } else {
    const httpServer = http.createServer();
    const io = new underTest.Server(httpServer, options);
    httpServer.listen(0, "127.0.0.1", () => serve(io, httpServer.address().port));
  }
}

main();
