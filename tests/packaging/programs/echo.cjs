// Starts a server of the module named on the command line and talks to it with the official client. It ends when
// both are closed, so that a handle left open would show.

const { createServer } = require("node:http");
const { io: connect } = require("socket.io-client");
const name = process.argv[2];
const { Server } = require(name);

const httpServer = createServer();
const server = new Server(httpServer);
server.on("connection", (socket) => {
  socket.on("echo", (text, blob, answer) => answer(text, blob));
});

httpServer.listen(0, "127.0.0.1", async () => {
  const answers = {};
  for (const transport of ["polling", "websocket"]) {
    const client = connect(`http://127.0.0.1:${httpServer.address().port}`, { transports: [transport] });
    answers[transport] = await new Promise((resolve, reject) => {
      client.on("connect_error", reject);
      client.timeout(10_000).emit("echo", "grüße", Buffer.from([0, 255]), (error, text, blob) => {
        if (error) reject(error);
        else resolve([text, [...blob]]);
      });
    });
    client.close();
  }
  await server.close();
  console.log(JSON.stringify({ module: require.resolve(name), answers }));
});
