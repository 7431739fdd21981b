// A server behind each door for `answers.cjs`. Prints their addresses, and ends when its standard input does: a handle
// left open would show.

import { createServer } from "node:http";
import { Server } from "ferrio";

const http = createServer((_request, response) => response.end("the application's own page"));
const attached = new Server(http);
const listening = new Server(0);

for (const io of [attached, listening]) {
  io.on("connection", (socket) => {
    socket.on("echo", (text, blob, answer) => answer([text, blob]));
    socket.on("join", (room, answer) => {
      socket.join(room);
      answer();
    });
    socket.on("say", (room, text) => socket.to(room).emit("said", text));
  });
}

http.listen(0, "127.0.0.1", () => {
  const addresses = {
    attached: `http://127.0.0.1:${http.address().port}`,
    listening: `http://127.0.0.1:${listening.httpServer.address().port}`,
  };
  console.log(JSON.stringify(addresses));
});

process.stdin.on("end", () => {
  attached.close();
  listening.close();
});
process.stdin.resume();
