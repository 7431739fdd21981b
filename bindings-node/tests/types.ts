/** What an application's declared events let it write, and what they keep it from: compiled, never run. */

import { createServer } from "node:http";
import { attach, Server as Engine, type Socket as EngineSocket, listen, protocol } from "../dist/engine";
import { type Namespace, Server, type Socket } from "../dist/index";

interface ClientToServer {
  hello: (name: string, answer: (isWelcome: boolean) => void) => void;
  tick: (n: number) => void;
}

interface ServerToClient {
  news: (n: number, text: string) => void;
  ask: (question: string, answer: (value: number) => void) => void;
}

interface BetweenServers {
  ping: (n: number) => void;
}

interface Data {
  user: string;
}

const takesString = (_value: string): void => {};
const takesNumber = (_value: number): void => {};
const takesNumbers = (_values: number[]): void => {};
const takesSocket = (_value: EngineSocket): void => {};
const takesError = (_value: Error): void => {};

export const io = new Server<ClientToServer, ServerToClient, BetweenServers, Data>(createServer(), {
  pingInterval: 1000,
  cors: { origin: "*" },
});

io.use((socket, next) => {
  socket.data.user = socket.handshake.auth.user;
  next();
});

io.on("connection", async (socket) => {
  takesString(socket.data.user);
  socket.on("hello", (name, answer) => {
    takesString(name);
    answer(true);
  });
  socket.on("tick", takesNumber);
  socket.on("disconnect", takesString);
  socket.use(([name], next) => {
    takesString(name);
    next();
  });

  socket.emit("news", 1, "text");
  socket.emit("ask", "question", takesNumber);
  socket.timeout(10).emit("ask", "question", (error, value) => {
    takesError(error);
    takesNumber(value);
  });
  socket.broadcast.to("room").emit("news", 1, "text");
  takesNumber(await socket.emitWithAck("ask", "question"));
  takesNumber(await socket.timeout(10).emitWithAck("ask", "question"));

  // @ts-expect-error the first argument is a number
  socket.emit("news", "1", "text");
  // @ts-expect-error there is no such event
  socket.emit("unknown");
  // @ts-expect-error this event wants no answer
  await socket.emitWithAck("news", 1, "text");
});

export async function askAll(): Promise<void> {
  io.timeout(10).emit("ask", "question", (error, values) => {
    takesError(error);
    takesNumbers(values);
  });
  takesNumbers(await io.timeout(10).emitWithAck("ask", "question"));
  takesNumbers(await io.emitWithAck("ask", "question"));
  takesNumbers(await chat.emitWithAck("ask", "question"));
  takesNumbers(
    await chat
      .in("room")
      .except("other")
      .volatile.local.compress(false)
      .timeout(10)
      .emitWithAck("ask", "question"),
  );
  for (const socket of await io.fetchSockets()) {
    takesString(socket.data.user);
    socket.emit("news", 1, "text");
  }
  io.serverSideEmit("ping", 1);

  // @ts-expect-error servers do not send this event to each other
  io.serverSideEmit("news", 1, "text");
  // @ts-expect-error the first argument is a number
  io.to("room").emit("news", "1", "text");
}

export const chat: Namespace<ClientToServer, ServerToClient, BetweenServers, Data> = io.of("/chat");
io.of(/^\/dynamic-/).on("connection", (socket) => takesString(socket.nsp.name));

// Without declarations everything goes.
export const plain = new Server(3000, { transports: ["polling"] });
plain.on("connection", async (socket: Socket) => {
  socket.emit("anything", 1, {}, () => {});
  socket.on("something", (first, answer) => answer(first.value));
  takesString((await socket.emitWithAck("question", 1)).text);
});

// The engine, alone and under a Socket.IO server.
export const engine = new Engine({ pingInterval: 1000, cors: false, cookie: true, initialPacket: "welcome" });
engine.attach(createServer(), { path: "/live", addTrailingSlash: false });
takesNumber(engine.clientsCount + protocol + Engine.errors.FORBIDDEN);
engine.generateId = async (request) => `${request.url}`;
engine.use((request, response, next) => {
  response.setHeader("x-url", `${request.url}`);
  next();
});
engine.on("connection", (socket) => {
  takesSocket(socket);
  socket.on("message", (data: string | Buffer) =>
    socket.send(data, { compress: false }, ({ name }) => takesString(name)),
  );
  socket.once("close", (reason, error) => {
    takesString(reason);
    if (error) takesError(error);
  });
  socket.on("packetCreate", (packet) => takesString(packet.type));
  socket.on("upgrade", (transport) => takesString(transport.name));
  takesString(socket.readyState + socket.id + socket.remoteAddress + socket.transport.name);
  socket.close(true);
});
engine.on("connection_error", ({ req, code, message, context }) => {
  takesString(message + req.url + context.name);
  takesNumber(code);
});
engine.on("headers", (headers, request) => {
  headers["x-url"] = request.url;
});
io.engine.on("connection", takesSocket);
io.on("connection", ({ conn }) => takesSocket(conn));
takesSocket(listen(0, { ownPort: true }, () => {}).clients.one as EngineSocket);
takesSocket(attach(createServer()).clients.one as EngineSocket);

// @ts-expect-error there is no such packet
engine.on("connection", (socket) => socket.sendPacket("letter"));
// @ts-expect-error this is a number
new Engine({ pingInterval: "1000" });
