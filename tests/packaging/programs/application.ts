// biome-ignore-all lint/suspicious/noExplicitAny: that is what applications write where they declare nothing.
// Compiled, never run: an application written for socket.io, with the packages that go with it, which say the same of
// ferrio under socket.io's name. `Equal` wants two types to be the same, and not only to fit.

import { createServer } from "node:http";
import { IoAdapter } from "@nestjs/platform-socket.io";
import { type OnGatewayConnection, WebSocketGateway, WebSocketServer } from "@nestjs/websockets";
import { instrument } from "@socket.io/admin-ui";
import {
  type BroadcastOperator,
  type DefaultEventsMap,
  type DisconnectReason,
  type Event,
  type ExtendedError,
  type Namespace,
  type RemoteSocket,
  Server,
  type ServerOptions,
  Socket,
} from "socket.io";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <T extends true>(_: T | undefined = undefined): void => {};

declare module "socket.io" {
  interface Socket {
    member: { name: string };
  }
}

interface FromClients {
  greet: (name: string, answer: (isWelcome: boolean) => void) => void;
  silent: () => void;
}

interface FromServer {
  told: (n: number, text: string) => void;
  asked: (question: string, answer: (value: number, unit: string) => void) => void;
  loose: (answer: (...values: any[]) => void) => void;
  optional: (text: string, answer?: (value: number) => void) => void;
}

interface BetweenServers {
  count: (room: string, answer: (n: number) => void) => void;
  gone: (room: string) => void;
}

interface Data {
  user: string;
}

const options: Partial<ServerOptions> = {
  allowEIO3: true,
  allowRequest: (request, decide) => decide(null, request.headers.host === "here"),
  cleanupEmptyChildNamespaces: true,
  connectionStateRecovery: { maxDisconnectionDuration: 1000, skipMiddlewares: false },
  cookie: { name: "io", httpOnly: true, sameSite: "strict", maxAge: 1 },
  cors: { origin: ["https://here", /there$/], credentials: true },
  httpCompression: { threshold: 1024 },
  perMessageDeflate: { threshold: 1024 },
  transports: ["websocket", "polling"],
};

const http = createServer();
export const io = new Server<FromClients, FromServer, BetweenServers, Data>(http, options);
export const plain = new Server({ cors: { origin: "*" } });
new Server(3000, options).attach(http, { path: "/live" }).listen(3001);

type Typed = Socket<FromClients, FromServer, BetweenServers, Data>;
interface Answered extends Omit<FromServer, "asked"> {
  asked: (question: string, answer: (values: number[]) => void) => void;
}

io.use((socket, next) => {
  const error: ExtendedError = new Error("refused");
  error.data = socket.handshake.auth.token;
  socket.data.user = `${socket.request.headers["user-agent"]}`;
  next(error);
});

io.on("connection", async (socket) => {
  holds<Equal<typeof socket, Typed>>();
  socket.member.name.trim();
  socket.on("greet", (name, answer) => answer(name.trim() === ""));
  socket.on("disconnect", (reason) => holds<Equal<typeof reason, DisconnectReason>>());
  socket.use(([name, ...rest], next) => {
    const event: Event = [name, ...rest];
    next(new Error(event[0]));
  });
  holds<Equal<typeof socket.rooms, Set<string>>>();
  socket.conn.once("upgrade", () => socket.conn.transport.name);

  // One client answers with all that it has to say, many with the first of each.
  socket.emit("asked", "?", (value, unit) => holds<Equal<[typeof value, typeof unit], [number, string]>>());
  socket.timeout(1).emit("asked", "?", (error, value, unit) => {
    holds<Equal<[typeof error, typeof value, typeof unit], [Error, number, string]>>();
  });
  socket.broadcast.timeout(1).emit("asked", "?", (error, values) => {
    holds<Equal<[typeof error, typeof values], [Error, number[]]>>();
  });
  socket.timeout(1).broadcast.emit("asked", "?", (_error, values) => {
    holds<Equal<typeof values, number[]>>();
  });
  socket.broadcast.emit("loose", (_error: Error, _values: string[]) => {});
  socket.broadcast.emit("optional", "text");
  holds<Equal<Awaited<ReturnType<typeof socket.emitWithAck<"asked">>>, number>>();
  const values = await socket.to("room").timeout(1).emitWithAck("asked", "?");
  holds<Equal<typeof values, number[]>>();
  const chosen = [socket.to("a"), socket.in("a"), socket.except("a"), socket.local, socket.broadcast];
  const operator: BroadcastOperator<Answered, Data> = chosen[0] as BroadcastOperator<Answered, Data>;
  operator.emit("told", 1, "text");

  // @ts-expect-error this event wants no answer
  await socket.emitWithAck("told", 1, "text");
  // @ts-expect-error nobody would end the wait
  await socket.to("room").emitWithAck("asked", "?");
  // @ts-expect-error an event of the other side
  socket.on("told", () => {});
  // @ts-expect-error the first argument is a number
  socket.emit("told", "1", "text");
});

for (const many of [io, io.of("/news")]) {
  many.timeout(1).emit("asked", "?", (_error, values) => holds<Equal<typeof values, number[]>>());
  many.timeout(1).timeout(1).to("room").emit("told", 1, "text");
  many.serverSideEmit("gone", "room");
  many.serverSideEmit("count", "room", (error, counts) => {
    holds<Equal<[typeof error, typeof counts], [Error, number[]]>>();
  });
  many.serverSideEmitWithAck("count", "room").then((counts) => holds<Equal<typeof counts, number[]>>());
  many.fetchSockets().then((found) => holds<Equal<typeof found, RemoteSocket<FromServer, Data>[]>>());

  // @ts-expect-error an answer needs timeout()
  many.emit("asked", "?", () => {});
  // @ts-expect-error servers do not send this to each other
  many.serverSideEmit("told", 1, "text");
  // @ts-expect-error this event wants no answer
  many.serverSideEmitWithAck("gone", "room");
  // @ts-expect-error there is no such event
  many.send("text");
}

export const news: Namespace<FromClients, FromServer, BetweenServers, Data> = io.of("/news");
io.of(/^\/room-/).on("connection", (socket) => socket.nsp.name);
io.of((name, auth, decide) => decide(null, auth.token === name));
io.emit("told", 1, "text");
news.emit("told", 1, "text");
io.on("count", (room, answer) => answer(room.length));
news.on("count", (room, answer) => answer(room.length));
io.on("new_namespace", (namespace) => namespace.name);
io.engine.on("connection_error", (error: { code: number }) => error.code);
io.engine.generateId = () => "id";
io.close().then(() => {});
for (const [id, socket] of io.sockets.sockets) socket.data.user = id;
news.adapter.on("create-room", (room: string) => room.trim());
export const size: number | undefined = news.adapter.rooms.get("room")?.size;

// Without declarations everything goes, and what wants such a server or socket takes the others.
plain.emit("anything", 1, "2", [3]);
plain.on("connection", (socket: Member) => {
  socket.id_of_member = 1;
  holds<Equal<Awaited<ReturnType<typeof socket.emitWithAck<string>>>, any>>();
  socket.on("something", (first, answer) => answer(first.value));
});
interface Member extends Socket {
  id_of_member?: number;
}
export const untyped: Server<DefaultEventsMap, DefaultEventsMap, DefaultEventsMap, any> = plain;
export const isSocket = (it: unknown): it is Socket => it instanceof Socket;

instrument(plain, { auth: false });

export class Sessions extends IoAdapter {
  createIOServer(port: number, given?: ServerOptions): Server {
    const server: Server = super.createIOServer(port, { ...given, path: "/live" });
    return server.use((socket, next) => next(socket.connected ? undefined : new Error("early")));
  }
}

@WebSocketGateway({ cors: { origin: "*" } })
export class Gateway implements OnGatewayConnection {
  @WebSocketServer() server!: Server;
  handleConnection(client: Socket): void {
    client.join(["a", "b"]);
    this.server.to("a").emit("joined", client.id);
  }
}
