"use strict";

const {
  POLLING,
  WEBSOCKET,
  barrier,
  connected,
  deferred,
  once,
  record,
  request,
  startServer,
} = require("./support");

describe("middleware", () => {
  test("middleware runs in order of registration", async () => {
    const server = await startServer();
    const order = [];
    server.io.use((_socket, next) => {
      order.push(1);
      setImmediate(next);
    });
    server.io.use(async (_socket, next) => {
      await null;
      order.push(2);
      next();
    });
    server.io.use((_socket, next) => {
      order.push(3);
      next();
    });
    server.io.on("connection", () => order.push("connection"));
    await server.pair();
    expect(order).toEqual([1, 2, 3, "connection"]);
  });

  test("the first refusal stops the chain", async () => {
    const server = await startServer();
    const later = jest.fn((_socket, next) => next());
    server.io.use((_socket, next) => next(new Error("first")));
    server.io.use(later);
    const client = server.client();
    expect((await once(client, "connect_error"))[0].message).toBe("first");
    expect(later).not.toHaveBeenCalled();
    expect(server.sockets.size).toBe(0);
  });

  test("a refusal carries message and data", async () => {
    const server = await startServer();
    server.watch("/guarded").use((_socket, next) => {
      next(Object.assign(new Error("größe"), { data: { code: 1, list: [null, "ü"] } }));
    });
    const client = server.client("/guarded");
    const [error] = await once(client, "connect_error");
    expect(error).toBeInstanceOf(Error);
    expect([error.message, error.data]).toEqual(["größe", { code: 1, list: [null, "ü"] }]);
  });

  test("a refusal may be anything", async () => {
    const server = await startServer();
    let refusal;
    server.io.use((_socket, next) => next(refusal));
    for (refusal of ["text", 1, {}, { message: "own" }]) {
      const [error] = await once(server.client(), "connect_error");
      expect(error.message).toBe(refusal.message ?? "");
    }
  });

  test("middleware may answer later", async () => {
    const server = await startServer();
    const gate = deferred();
    const asked = deferred();
    server.io.use((socket, next) => {
      asked.resolve(socket);
      gate.promise.then(() => next());
    });
    const client = server.client();
    const socket = await asked.promise;
    expect(client.connected).toBe(false);
    expect(await server.io.fetchSockets()).toEqual([]);
    gate.resolve();
    await connected(client);
    expect(client.id).toBe(socket.id);
  });

  test("middleware of one namespace does not guard another", async () => {
    const server = await startServer();
    server.io.use((_socket, next) => next(new Error("main is closed")));
    server.watch("/open");
    const refused = server.client();
    expect((await once(refused, "connect_error"))[0].message).toBe("main is closed");
    await barrier(await server.connect("/open"));
  });

  test("middleware sees handshake and auth and may leave data for the handler", async () => {
    const server = await startServer();
    server.io.use((socket, next) => {
      socket.data.user = socket.handshake.auth.user;
      socket.own = "property";
      socket.join(`user:${socket.data.user}`);
      next();
    });
    const { client, socket } = await server.pair("/", { auth: { user: "ann" } });
    expect(socket.data).toEqual({ user: "ann" });
    expect(socket.own).toBe("property");
    const heard = record(client);
    server.io.to("user:ann").emit("hello");
    await barrier(client);
    expect(heard).toEqual([["hello"]]);
  });

  test("a parent's middleware guards its dynamic children", async () => {
    const server = await startServer();
    server.io
      .of(/^\/room-\d+$/)
      .use((socket, next) => next(socket.nsp.name === "/room-1" ? undefined : new Error("only room 1")));
    await server.connect("/room-1");
    const refused = server.client("/room-2");
    expect((await once(refused, "connect_error"))[0].message).toBe("only room 1");
  });

  test("socket middleware sees every event with its arguments", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const seen = [];
    socket.use((event, next) => {
      if (event[0] !== "barrier")
        seen.push(event.map((value) => (typeof value === "function" ? "answer" : value)));
      next();
    });
    client.emit("plain", 1, { two: 2 });
    client.emit("bytes", Buffer.from("b"));
    client.emit("unheard", () => {});
    await barrier(client);
    expect(seen).toStrictEqual([
      ["plain", 1, { two: 2 }],
      ["bytes", Buffer.from("b")],
      ["unheard", "answer"],
    ]);
  });

  test("socket middleware may change the arguments", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    socket.use((event, next) => {
      if (event[0] === "number") event[1] += 1;
      next();
    });
    const heard = once(socket, "number");
    client.emit("number", 41);
    expect(await heard).toEqual([42]);
  });

  test("an error in socket middleware keeps the event from its listener and raises error on the socket", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const refused = jest.fn();
    const errors = [];
    socket.use(([event], next) => next(event === "refused" ? new Error("not this") : undefined));
    socket.on("refused", refused);
    socket.on("error", (error) => errors.push(error.message));
    client.emit("refused", 1);
    await barrier(client);
    expect(refused).not.toHaveBeenCalled();
    expect(errors).toEqual(["not this"]);
  });

  test("catch-all listeners run before socket middleware, and that before the listener", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const order = [];
    socket.on("event", () => order.push("listener"));
    socket.use(([event], next) => {
      if (event === "event") order.push("middleware");
      next();
    });
    socket.onAny((event) => event === "event" && order.push("any"));
    client.emit("event");
    await barrier(client);
    expect(order).toEqual(["any", "middleware", "listener"]);
  });

  test("engine middleware runs for polling and WebSocket requests", async () => {
    const server = await startServer();
    const seen = [];
    server.io.engine.use((asked, response, next) => {
      asked.own = "property";
      seen.push([asked.method, asked._query.transport, asked._query.sid !== undefined]);
      response.setHeader("X-Seen", "yes");
      setImmediate(next);
    });
    const { socket } = await server.pair("/", WEBSOCKET);
    expect(seen).toEqual([["GET", "websocket", false]]);
    expect(socket.request.own).toBe("property");
    const answer = await request(server, "/socket.io/?EIO=4&transport=polling");
    expect(answer.headers["x-seen"]).toBe("yes");
    const polling = await server.pair("/", POLLING);
    expect(polling.socket.request.own).toBe("property");
    expect(seen).toContainEqual(["POST", "polling", true]);
  });
});
