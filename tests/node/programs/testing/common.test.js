"use strict";

const { createServer } = require("node:http");
const { io: connect } = require("socket.io-client");
const { Server } = require("under-test");

describe("an application", () => {
  let io;
  let serverSocket;
  let clientSocket;

  beforeAll((done) => {
    const httpServer = createServer();
    io = new Server(httpServer);
    httpServer.listen(() => {
      clientSocket = connect(`http://localhost:${httpServer.address().port}`);
      io.on("connection", (socket) => {
        serverSocket = socket;
      });
      clientSocket.on("connect", done);
    });
  });

  afterAll(() => {
    io.close();
    clientSocket.disconnect();
  });

  test("sends an event", (done) => {
    clientSocket.on("hello", (word) => {
      expect(word).toBe("world");
      done();
    });
    serverSocket.emit("hello", "world");
  });

  test("answers an event", async () => {
    serverSocket.on("greet", (answer) => answer("hi"));
    expect(await clientSocket.emitWithAck("greet")).toBe("hi");
  });

  test("is answered", async () => {
    clientSocket.on("ask", (answer) => answer("yes"));
    expect(await serverSocket.timeout(10000).emitWithAck("ask")).toBe("yes");
  });
});
