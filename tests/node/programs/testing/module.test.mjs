import { createServer } from "node:http";
import { io as connect } from "socket.io-client";
import { Server } from "under-test/esm";

describe("an application of ES modules", () => {
  let io;
  let serverSocket;
  let clientSocket;

  beforeAll(async () => {
    const httpServer = createServer();
    io = new Server(httpServer);
    await new Promise((resolve) => httpServer.listen(resolve));
    clientSocket = connect(`http://localhost:${httpServer.address().port}`);
    [serverSocket] = await Promise.all([
      new Promise((resolve) => io.on("connection", resolve)),
      new Promise((resolve) => clientSocket.on("connect", resolve)),
    ]);
  });

  afterAll(() => {
    io.close();
    clientSocket.disconnect();
  });

  test("sends an event", async () => {
    const heard = new Promise((resolve) => clientSocket.on("hello", resolve));
    serverSocket.emit("hello", "world");
    expect(await heard).toBe("world");
  });
});
