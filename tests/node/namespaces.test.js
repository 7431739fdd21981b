"use strict";

const {
  POLLING,
  WEBSOCKET,
  barrier,
  connected,
  eventually,
  ferrioOnly,
  join,
  once,
  openWebSocket,
  record,
  startServer,
} = require("./support");

describe("namespaces", () => {
  test("a client joins a static namespace", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, POLLING]) {
      const { client, socket } = await server.pair("/chat", transport);
      expect(socket.id).toBe(client.id);
      expect(socket.nsp.name).toBe("/chat");
      const heard = once(socket, "up");
      client.emit("up", { n: 1 }, Buffer.from("b"));
      expect(await heard).toStrictEqual([{ n: 1 }, Buffer.from("b")]);
    }
    expect(server.io.of("chat")).toBe(server.io.of("/chat"));
  });

  test("two namespaces share one connection", async () => {
    const server = await startServer();
    const { client: main, socket } = await server.pair();
    server.watch("/chat");
    const chat = await join(main, "/chat");
    const other = await server.socketOf(chat);
    expect(chat.io).toBe(main.io);
    expect(other.conn.id).toBe(socket.conn.id);
    expect(other.conn.id).toBe(main.io.engine.id);
  });

  test("events of one namespace are not heard in another", async () => {
    const server = await startServer();
    server.watch("/chat");
    const { client: main, socket: mainSocket } = await server.pair();
    const chat = await join(main, "/chat");
    const chatSocket = await server.socketOf(chat);
    const down = [record(main), record(chat)];
    const up = [[], []];
    [mainSocket, chatSocket].forEach((socket, n) =>
      socket.onAny((event) => event !== "barrier" && up[n].push(event)),
    );
    server.io.emit("to main");
    server.io.of("/chat").emit("to chat");
    mainSocket.emit("to main socket");
    chatSocket.emit("to chat socket");
    main.emit("from main");
    chat.emit("from chat");
    await barrier(main, chat);
    expect(down).toEqual([
      [["to main"], ["to main socket"]],
      [["to chat"], ["to chat socket"]],
    ]);
    expect(up).toEqual([["from main"], ["from chat"]]);
  });

  test("acks of two namespaces on one connection do not mix", async () => {
    const server = await startServer();
    server.watch("/chat");
    const { client: main, socket: mainSocket } = await server.pair();
    const chat = await join(main, "/chat");
    const chatSocket = await server.socketOf(chat);
    for (const [emitter, name] of [
      [main, "main"],
      [chat, "chat"],
      [mainSocket, "main"],
      [chatSocket, "chat"],
    ]) {
      emitter.on("ask", (n, answer) => answer(`${name} ${n}`));
    }
    const asked = [];
    for (let n = 0; n < 10; n += 1) {
      for (const asker of [main, chat, mainSocket, chatSocket])
        asked.push(asker.timeout(10000).emitWithAck("ask", n));
    }
    const answers = await Promise.all(asked);
    expect(answers).toEqual(answers.map((_, n) => `${n % 2 ? "chat" : "main"} ${Math.floor(n / 4)}`));
  });

  test("leaving one namespace keeps the other", async () => {
    const server = await startServer();
    server.watch("/chat");
    const { client: main, socket } = await server.pair();
    const chat = await join(main, "/chat");
    const chatSocket = await server.socketOf(chat);
    const gone = once(chatSocket, "disconnect");
    chat.disconnect();
    expect((await gone)[0]).toBe("client namespace disconnect");
    await barrier(main);
    expect(socket.connected).toBe(true);
    expect(await server.io.of("/chat").fetchSockets()).toEqual([]);

    const again = await join(main, "/chat");
    const left = once(again, "disconnect");
    (await server.socketOf(again)).disconnect();
    expect((await left)[0]).toBe("io server disconnect");
    await barrier(main);
  });

  test("a client rejoins a namespace on the same connection", async () => {
    const server = await startServer();
    server.watch("/chat");
    const { client: main } = await server.pair();
    const chat = await join(main, "/chat");
    const ids = new Set();
    for (let n = 0; n < 5; n += 1) {
      ids.add(chat.id);
      const gone = once(await server.socketOf(chat), "disconnect");
      chat.disconnect();
      await gone;
      chat.connect();
      await connected(chat);
    }
    expect(ids.size).toBe(5);
    expect((await server.io.of("/chat").fetchSockets()).map(({ id }) => id)).toEqual([chat.id]);
  });

  test("each namespace has its own socket ids", async () => {
    const server = await startServer();
    server.watch("/a");
    server.watch("/b");
    const { client: main } = await server.pair();
    const ids = [main.io.engine.id, main.id, (await join(main, "/a")).id, (await join(main, "/b")).id];
    expect(new Set(ids).size).toBe(4);
  });

  test("a namespace has its own auth payload", async () => {
    const server = await startServer();
    server.watch("/chat");
    const { client: main, socket } = await server.pair("/", { auth: { for: "main" } });
    const chat = await join(main, "/chat", { auth: { for: "chat" } });
    expect(socket.handshake.auth).toEqual({ for: "main" });
    expect((await server.socketOf(chat)).handshake.auth).toEqual({ for: "chat" });
  });

  test("a query in the client's address does not change the namespace", async () => {
    const server = await startServer();
    server.watch("/chat");
    const client = await server.connect("/chat?token=abc");
    const socket = await server.socketOf(client);
    expect(socket.nsp.name).toBe("/chat");
    expect(socket.handshake.query.token).toBe("abc");
  });

  test("a namespace matched by a pattern is created when it is first asked for", async () => {
    const server = await startServer();
    const parent = server.io.of(/^\/room-\d+$/);
    const joined = [];
    parent.on("connection", (socket) => {
      joined.push(socket.nsp.name);
      socket.on("barrier", (answer) => answer());
    });
    const first = await server.connect("/room-1");
    const second = await server.connect("/room-2");
    const third = await server.connect("/room-1");
    expect(joined).toEqual(["/room-1", "/room-2", "/room-1"]);
    const refused = server.client("/room-x");
    expect((await once(refused, "connect_error"))[0].message).toBe("Invalid namespace");
    const heard = [first, second, third].map(record);
    server.io.of("/room-1").emit("hello");
    await barrier(first, second, third);
    expect(heard).toEqual([[["hello"]], [], [["hello"]]]);
  });

  test("a namespace may be admitted by a function", async () => {
    const server = await startServer();
    const asked = [];
    server.io.of((name, auth, next) => {
      asked.push([name, auth]);
      setImmediate(next, null, auth.token === "good");
    });
    const client = server.client("/guarded", { auth: { token: "good" } });
    await connected(client);
    expect(asked).toEqual([["/guarded", { token: "good" }]]);
    expect(await server.io.of("/guarded").fetchSockets()).toHaveLength(1);
  });

  test("a function that refuses a namespace leaves it unknown", async () => {
    const server = await startServer();
    server.io.of((name, _auth, next) => next(name === "/error" ? new Error("no") : null, false));
    for (const name of ["/refused", "/error"]) {
      const client = server.client(name);
      expect((await once(client, "connect_error"))[0].message).toBe("Invalid namespace");
    }
    expect((await server.connect()).connected).toBe(true);
  });

  test("broadcasts of a dynamic parent reach all its children", async () => {
    const server = await startServer();
    const parent = server.io.of(/^\/room-\d+$/);
    parent.on("connection", (socket) => {
      socket.join("lobby");
      socket.on("barrier", (answer) => answer());
    });
    const clients = await Promise.all(["/room-1", "/room-2", "/room-2"].map((name) => server.connect(name)));
    const other = await server.connect();
    const heard = [...clients, other].map(record);
    parent.emit("everybody", { n: 1 });
    parent.to("lobby").emit("lobby");
    await barrier(...clients, other);
    expect(heard).toEqual([...clients.map(() => [["everybody", { n: 1 }], ["lobby"]]), []]);
  });

  test("an empty child namespace is removed when so configured", async () => {
    const server = await startServer({ cleanupEmptyChildNamespaces: true });
    const created = [];
    server.io.on("new_namespace", (namespace) => created.push(namespace.name));
    server.io.of(/^\/room-\d+$/);
    const first = await server.connect("/room-1");
    first.disconnect();
    await eventually(async () => {
      const again = await server.connect("/room-1");
      again.disconnect();
      return created.length > 1;
    });
    expect(new Set(created)).toEqual(new Set(["/room-1"]));
  });

  test("the new_namespace event tells of each namespace", async () => {
    const server = await startServer();
    const told = [];
    server.io.on("new_namespace", (namespace) => told.push(namespace.name));
    server.io.of("/static");
    server.io.of("/static");
    server.io.of(/^\/dynamic-\d+$/);
    await server.connect("/dynamic-1");
    await server.connect("/dynamic-1");
    expect(told).toEqual(["/static", "/dynamic-1"]);
  });

  test("a namespace created while the server runs can be joined", async () => {
    const server = await startServer();
    const { client: main } = await server.pair();
    const early = server.client("/late");
    expect((await once(early, "connect_error"))[0].message).toBe("Invalid namespace");
    server.watch("/late");
    await barrier(await join(main, "/late"));
    early.connect();
    await connected(early);
  });

  test("an event for a namespace that was not joined closes only its sender", async () => {
    const server = await startServer();
    server.watch("/chat");
    const { client } = await server.pair();
    const heard = jest.fn();
    server.io.of("/chat").on("connection", heard);
    for (const packet of ['42/chat,["event"]', '42/unknown,["event"]', "41/chat,", '43/chat,1["ack"]']) {
      const peer = await openWebSocket(server);
      peer.send(packet);
      await peer.closeCode();
    }
    expect(heard).not.toHaveBeenCalled();
    await barrier(client);
  });

  test("a second connect to the same namespace closes only its sender", async () => {
    const server = await startServer();
    const { client } = await server.pair();
    const peer = await openWebSocket(server);
    peer.send("40");
    await peer.closeCode();
    await barrier(client);
    await eventually(async () => (await server.io.fetchSockets()).length === 1);
  });
});

ferrioOnly(
  "the official server takes a connect right behind a disconnect for a second connect and closes the connection",
  () => {
    test("a client may leave and rejoin a namespace in one breath", async () => {
      const server = await startServer();
      server.watch("/chat");
      const { client: main } = await server.pair();
      const chat = await join(main, "/chat");
      for (let n = 0; n < 5; n += 1) {
        chat.disconnect();
        chat.connect();
        await connected(chat);
      }
      await barrier(main, chat);
    });
  },
);
