// Serves with NestJS's and Feathers' own packages for socket.io, which depend on it, and with the admin UI's, which is
// its peer. Prints what the official client gets, and which package each of them found under that name.

const { createServer } = require("node:http");
const path = require("node:path");
const { feathers } = require("@feathersjs/feathers");
const feathersSocketio = require("@feathersjs/socketio");
const { IoAdapter } = require("@nestjs/platform-socket.io");
const { instrument } = require("@socket.io/admin-ui");
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");

const DEADLINE_MS = 20_000;
setTimeout(() => process.exit(1), DEADLINE_MS).unref();

async function nest() {
  const httpServer = createServer();
  const server = new IoAdapter(httpServer).createIOServer(0);
  server.on("connection", (socket) => socket.on("ask", (answer) => answer("nest")));
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  return { server, httpServer, ask: ["ask"] };
}

async function feathersjs() {
  let server;
  const app = feathers();
  app.configure(
    feathersSocketio((io) => {
      server = io;
    }),
  );
  app.use("things", { get: async (id) => `feathers ${id}` });
  const httpServer = createServer();
  await app.setup(httpServer);
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  return { server, httpServer, ask: ["get", "things", "seven"] };
}

async function answerOf(start) {
  const { server, httpServer, ask } = await start();
  instrument(server, { auth: false });
  const client = connect(`http://127.0.0.1:${httpServer.address().port}`);
  const answer = await new Promise((resolve) => client.emit(...ask, (...values) => resolve(values.at(-1))));
  client.close();
  await server.close();
  return { answer, isOurs: server instanceof Server };
}

function found(by) {
  const folder = path.dirname(require.resolve(`${by}/package.json`));
  return require(require.resolve("socket.io/package.json", { paths: [`${folder}/`] })).name;
}

(async () => {
  console.log(
    JSON.stringify({
      nest: await answerOf(nest),
      feathers: await answerOf(feathersjs),
      found: ["@nestjs/platform-socket.io", "@feathersjs/socketio", "@socket.io/admin-ui"].map(found),
    }),
  );
  process.exit(0);
})();
