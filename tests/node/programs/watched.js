"use strict";

/** Serves on a port, or on any if it is 0, and says which version of the program does. */

const http = require("node:http");
const { underTest } = require("../support/module");

module.exports = (version, port, door) => {
  const httpServer = door === "listen" ? undefined : http.createServer();
  const io = new underTest.Server(httpServer ?? port);
  httpServer?.listen(port);
  const ready = () => process.stdout.write(`version ${version} on ${io.httpServer.address().port}\n`);
  if (io.httpServer.listening) ready();
  else io.httpServer.once("listening", ready);
};
