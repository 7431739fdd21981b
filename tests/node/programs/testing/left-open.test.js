"use strict";

const { createServer } = require("node:http");
const { Server } = require("under-test");

test("a server stays open", async () => {
  const httpServer = createServer();
  new Server(httpServer);
  await new Promise((resolve) => httpServer.listen(resolve));
});
