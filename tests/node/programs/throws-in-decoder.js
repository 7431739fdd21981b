"use strict";

/** A decoder that cannot be made: says what is thrown, that the client is closed, and what is held then. */

const http = require("node:http");
const path = require("node:path");
const { WebSocket } = require("ws");
const { Server } = require(path.resolve(__dirname, "../../.."));

class Encoder {
  encode() {
    return [];
  }
}
class Decoder {
  constructor() {
    throw new Error("no decoder");
  }
}

process.on("uncaughtException", (error) => console.log(`uncaught: ${error.message}`));

const httpServer = http.createServer();
const io = new Server(httpServer, { parser: { Encoder, Decoder } });
httpServer.listen(0, "127.0.0.1", () => {
  const url = `ws://127.0.0.1:${httpServer.address().port}/socket.io/?EIO=4&transport=websocket`;
  const client = new WebSocket(url);
  client.once("message", () => client.send("4hello"));
  client.once("close", () => {
    console.log("closed");
    const look = () => {
      const { parsedClients, parsed, connections } = io._held();
      if (parsedClients + parsed + connections > 0) return setImmediate(look);
      console.log("held: 0");
      return io.close();
    };
    look();
  });
});
