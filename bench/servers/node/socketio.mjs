// The benchmark application on a Node server with socket.io's API: `socketio.mjs --module NAME --door DOOR --port N
// [--ping-interval SECONDS]`.
//
// `--module` is a package name, or a path to a package's folder, so that the same handlers run on every server.
// `--door port` is `new Server(port)`; `--door http` is `new Server(httpServer)`.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    module: { type: "string", default: "socket.io" },
    door: { type: "string", default: "http" },
    port: { type: "string" },
    "ping-interval": { type: "string", default: "25" },
  },
});
const port = Number(values.port);
const options = { pingInterval: Number(values["ping-interval"]) * 1000 };
const isPath = values.module.startsWith(".") || values.module.startsWith("/");
const { Server } = createRequire(import.meta.url)(isPath ? resolve(values.module) : values.module);

let io;
if (values.door === "port") {
  io = new Server(port, options);
} else {
  const httpServer = createServer((_request, response) => response.writeHead(404).end());
  io = new Server(httpServer, options);
  httpServer.listen(port, "127.0.0.1");
}

let ticks = 0;
io.on("connection", (socket) => {
  socket.on("echo", (data, answer) => answer(data));
  socket.on("tick", () => {
    ticks += 1;
  });
  socket.on("count", (answer) => {
    answer(ticks);
    ticks = 0;
  });
  socket.on("broadcast", (data) => io.emit("news", data));
  socket.on("join", (room, answer) => {
    socket.join(room);
    answer();
  });
  socket.on("to", (room, data) => io.to(room).emit("news", data));
});
