// Compiled, never run: what a TypeScript application writes against the installed package.

import { createServer } from "node:http";
import { Server, type Socket } from "ferrio";

interface FromClient {
  hello: (name: string, answer: (greeting: string) => void) => void;
}

interface FromServer {
  greeted: (name: string) => void;
}

const io = new Server<FromClient, FromServer>(createServer());

io.on("connection", (socket: Socket<FromClient, FromServer>) => {
  socket.on("hello", (name, answer) => {
    socket.broadcast.emit("greeted", name.trim());
    answer(`hello ${name}`);
  });
  // @ts-expect-error A greeting needs the name as text.
  socket.emit("greeted", 7);
});
