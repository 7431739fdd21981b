"use strict";

/** What the server keeps of clients, namespaces and itself, and until when. */

const { execFile } = require("node:child_process");
const path = require("node:path");
const { Duplex } = require("node:stream");
const {
  DOOR,
  POLLING,
  connected,
  deferred,
  eventually,
  ferrioOnly,
  once,
  openTcp,
  openWebSocket,
  record,
  request,
  startServer,
  within,
} = require("./support");

/** Clients that come in one go: more would only measure the machine. */
const AT_ONCE = 50;

/** Opens `n` sessions one batch after the other, does something with each, and closes them all. */
async function churn(server, n, visit, options = {}) {
  for (let done = 0; done < n; done += AT_ONCE) {
    const opening = Array.from({ length: AT_ONCE }, () => openWebSocket(server, { join: false, options }));
    const sockets = await Promise.all(opening);
    await Promise.all(sockets.map(visit));
    for (const socket of sockets) socket.socket.terminate();
  }
}

/** Asks to join a namespace, and waits for the answer. */
async function ask(socket, name = "") {
  socket.send(`40${name}`);
  return socket.next();
}

/** Waits until nothing at all is held for clients. */
function nothingIsHeld({ io }) {
  return eventually(() => {
    const { namespaces, coreNamespaces, ...ofClients } = io._held();
    expect(coreNamespaces).toBe(namespaces);
    expect(namespaces).toBe(io._nsps.size);
    expect(Object.entries(ofClients).filter(([, n]) => n !== 0)).toEqual([]);
    return true;
  });
}

/** Runs a program of `programs` to its own end. Returns what it printed. */
async function run(name, ...args) {
  const program = path.join(__dirname, "programs", name);
  const done = new Promise((resolve, reject) =>
    execFile(process.execPath, ["--expose-gc", program, ...args], (error, stdout, stderr) =>
      error ? reject(new Error(`${error.message}\n${stdout}${stderr}`)) : resolve(stdout),
    ),
  );
  return within(done, `${name} to end`, 25000);
}

describe("lifetimes", () => {
  ferrioOnly("it can tell what it holds", () => {
    test("nothing is kept of clients that a middleware refuses", async () => {
      const server = await startServer();
      server.io.use((socket, next) => {
        if (socket.handshake.headers["x-long"].length === 4096) next(new Error("refused"));
      });
      const headers = { "x-long": "x".repeat(4096) };
      await churn(server, 1000, async (socket) => expect(await ask(socket)).toBe('44{"message":"refused"}'), {
        headers,
      });
      await nothingIsHeld(server);
    });

    test("a client that was refused is not kept while its connection stays", async () => {
      const server = await startServer();
      server.io.use((_socket, next) => next(new Error("refused")));
      const socket = await openWebSocket(server, { join: false });
      for (let n = 0; n < 1000; n += 1) await ask(socket);
      const held = server.io._held();
      expect([held.connections, held.sockets, held.ownSockets, held.waiting]).toEqual([1, 0, 0, 0]);
    });

    test("nothing is kept of clients that leave while a middleware thinks", async () => {
      const server = await startServer();
      const thinking = [];
      let nReached = 0;
      server.io.use((socket, next) => {
        // One in two looks at its client.
        if (thinking.push({ socket, next }) % 2 === 0) expect(socket.handshake.secure).toBe(false);
      });
      server.io.on("connection", () => {
        nReached += 1;
      });
      const n = 500;
      await churn(server, n, (socket) => socket.send("40"));
      await eventually(() => thinking.length === n);
      await nothingIsHeld(server);
      // The word comes too late, and the application may still look at what it was asked about.
      for (const { socket, next } of thinking) {
        expect(socket.handshake.headers.host).toMatch("127.0.0.1");
        expect(socket.conn.readyState).toBe("closed");
        next();
        next(new Error("twice"));
      }
      await nothingIsHeld(server);
      expect(nReached).toBe(0);
    });

    test("nothing is kept of a client that is first looked at when it leaves", async () => {
      const server = await startServer();
      const addresses = [];
      server.io.on("connection", (socket) =>
        socket.on("disconnect", () => addresses.push(socket.handshake.address)),
      );
      await churn(server, 500, ask);
      await eventually(() => addresses.length === 500);
      await nothingIsHeld(server);
    });

    test("nothing is kept of clients whose listeners throw", async () => {
      const server = await startServer();
      const left = [];
      server.io.on("connection", (socket) => {
        socket.on("disconnect", () => {
          left.push(socket.id);
          if (left.length === 1) throw new Error("a listener's own");
        });
      });
      const clients = await Promise.all(Array.from({ length: 10 }, () => server.connect()));
      expect(() => server.io.disconnectSockets(true)).toThrow("a listener's own");
      expect(left).toHaveLength(clients.length);
      await nothingIsHeld(server);
    });

    test("nothing is kept of requests that are never allowed", async () => {
      const asked = [];
      const server = await startServer({ allowRequest: (_request, answer) => asked.push(answer) });
      const connections = await Promise.all(Array.from({ length: 100 }, () => openTcp(server)));
      for (const connection of connections) {
        // Two in one go, of which HTTP answers the second after the first.
        const head = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        connection.write(head + head);
      }
      await eventually(() => asked.length === 2 * connections.length);
      for (const connection of connections) connection.socket.destroy();
      await nothingIsHeld(server);
      for (const answer of asked) answer(null, true);
      await nothingIsHeld(server);
    });

    test("request objects are kept as long as their connections", async () => {
      const seen = new Set();
      const server = await startServer({
        allowRequest: (incoming, answer) => answer(null, seen.add(incoming)),
      });
      const { client, socket } = await server.pair("/", POLLING);
      const refused = await openWebSocket(server, { join: false });
      expect(server.io._held().keptRequests).toBe(2);
      expect(seen.has(socket.request)).toBe(true);
      refused.close();
      await eventually(() => server.io._held().keptRequests === 1);
      client.disconnect();
      await nothingIsHeld(server);
    });

    test("nothing is kept of a client that wanted to continue and was refused", async () => {
      const server = await startServer({
        connectionStateRecovery: { skipMiddlewares: false, maxDisconnectionDuration: 60000 },
      });
      let isOpen = true;
      server.io.use((_socket, next) => next(isOpen ? undefined : new Error("refused")));
      const { client, socket } = await server.pair();
      const heard = once(client, "last");
      socket.emit("last");
      await heard;
      client.io.engine.close();
      await once(socket, "disconnect");
      expect(server.io._held().retained).toBe(1);
      isOpen = false;
      const refusal = once(client, "connect_error");
      client.connect();
      await refusal;
      client.disconnect();
      await nothingIsHeld(server);
    });

    test("nothing is kept of a namespace whose function answers when its client has gone", async () => {
      const server = await startServer({ cleanupEmptyChildNamespaces: true });
      const asked = deferred();
      server.io.of((_name, _auth, answer) => asked.resolve(answer));
      const socket = await openWebSocket(server);
      socket.send("40/late,");
      const answer = await within(asked.promise, "the question");
      answer(null, true);
      answer(null, true);
      answer(null, false);
      expect(await socket.next()).toMatch(/^40\/late,/);
      expect(server.io._nsps.has("/late")).toBe(true);
      socket.socket.terminate();
      await nothingIsHeld(server);
      expect(server.io._nsps.has("/late")).toBe(false);
    });

    test("nothing is kept of clients that come and go while namespaces do", async () => {
      const server = await startServer({ cleanupEmptyChildNamespaces: true });
      // Decides by turns, at once and later, for and against.
      let n = 0;
      const decide = (word) => {
        n += 1;
        const decision = n % 3 !== 0;
        if (n % 4 === 0) setImmediate(word, decision);
        else if (n % 7 !== 0) word(decision);
      };
      const parent = server.io.of((_name, _auth, answer) => decide((isAllowed) => answer(null, isAllowed)));
      parent.use((_socket, next) => decide((isAllowed) => next(isAllowed ? undefined : new Error("no"))));
      parent.on("connection", (socket) => {
        socket.nsp.emit("in", socket.nsp.name);
        socket.on("disconnect", () => socket.broadcast.emit("out", socket.nsp.name));
        if (socket.id.charCodeAt(0) % 5 === 0) socket.disconnect(true);
      });
      const astray = [];
      await churn(server, 500, async (socket) => {
        const name = `/tenant-${n % 10}`;
        socket.socket.on("message", (data) => {
          const message = data.toString();
          if (message.startsWith("42") && !message.includes(`"${name}"`)) astray.push(message);
        });
        for (let i = 0; i < 3; i += 1) {
          socket.send(`40${name},`);
          await new Promise(setImmediate);
        }
      });
      expect(astray).toEqual([]);
      await nothingIsHeld(server);
    });

    test("nothing is kept of uploads that break off", async () => {
      const server = await startServer();
      for (const more of ["", "Accept-Encoding: gzip\r\n"]) {
        const client = await server.connect("/", POLLING);
        const { id } = client.io.engine;
        const tcp = await openTcp(server);
        tcp.write(
          `POST /socket.io/?EIO=4&transport=polling&sid=${id} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more}Content-Length: 100\r\n\r\n42[`,
        );
        if (DOOR === "attach") await eventually(() => server.io._held().carried === 2);
        tcp.socket.destroy();
        if (DOOR === "attach") await eventually(() => server.io._held().carried <= 1);
        client.disconnect();
      }
      await nothingIsHeld(server);
    });

    test("a stream that the client does not read is closed with its session", async () => {
      // Whatever is no plain connection is carried by Node, as TLS is.
      const server = await startServer({}, { door: "attach" });
      let reads = true;
      let heard = "";
      const write = (chunk, _encoding, done) => {
        heard += chunk.toString("latin1");
        if (reads) done();
      };
      const stream = new Duplex({ read() {}, write });
      const closed = once(stream, "close");
      server.io.httpServer.emit("connection", stream);
      stream.push(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n" +
          "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
      // `40` as a text frame whose mask is zero.
      stream.push(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30]));
      await eventually(() => heard.includes("40{"));
      reads = false;
      server.io.emit("news");
      server.io.disconnectSockets(true);
      await closed;
      await nothingIsHeld(server);
    });

    test("closing the server lets go of clients in every state", async () => {
      const server = await startServer({ connectionStateRecovery: {} });
      server.io.use((socket, next) => socket.handshake.query.waits || next());
      server.io.of((_name, _auth, _answer) => {});
      const joined = await openWebSocket(server);
      const waiting = await openWebSocket(server, { join: false, query: "&waits=1" });
      waiting.send("40");
      joined.send("40/unknown,");
      await eventually(() => server.io._held().waiting === 1 && server.io._held().questions === 1);
      const bridge = server.io._bridge;
      await server.close();
      await eventually(() => bridge.held().sockets === 0);
      expect(bridge.held()).toMatchObject({
        connections: 0,
        questions: 0,
        requests: 0,
        streams: 0,
        ownSockets: 0,
      });
      expect(server.io._held()).toMatchObject({ clients: 0, retained: 0, joined: 0, waiting: 0, carried: 0 });
    });

    test("an ack that a closed server still owes is called with an error", async () => {
      const server = await startServer();
      const { socket } = await server.pair();
      const answers = Promise.allSettled([
        socket.timeout(60000).emitWithAck("never answered"),
        server.io.timeout(60000).emitWithAck("never answered"),
      ]);
      await server.close();
      const outcomes = await within(answers, "the errors");
      expect(outcomes.map(({ reason }) => reason.message)).toEqual(Array(2).fill("operation has timed out"));
    });

    test("closed servers leave no handle behind", async () => {
      expect(await run("closes-many.js")).toBe("nothing is left");
    });

    test("a server that nobody holds is closed", async () => {
      expect(await run("drops-many.js")).toBe("nothing is left");
    });
  });

  ferrioOnly("socket.io takes the second answer, too", () => {
    test("an answer given twice counts once", async () => {
      const server = await startServer({
        allowRequest: (_request, answer) => {
          answer(null, true);
          answer("no", false);
        },
      });
      server.io.of((_name, _auth, answer) => {
        answer(null, true);
        answer(null, true);
      });
      let nConnections = 0;
      server.io.of("/").on("new_namespace", (namespace) =>
        namespace.on("connection", () => {
          nConnections += 1;
        }),
      );
      server.io.use((_socket, next) => {
        next();
        next();
      });
      const client = await server.connect("/asked");
      const other = await server.connect();
      expect([client.connected, other.connected, nConnections]).toEqual([true, true, 1]);
    });
  });

  test("what is sent to a namespace that was removed reaches nobody", async () => {
    const server = await startServer({ cleanupEmptyChildNamespaces: true });
    const parent = server.io.of(/^\/tenant-\d+$/);
    const sockets = new Map();
    parent.on("connection", (socket) => sockets.set(socket.nsp.name, socket));
    const first = await server.connect("/tenant-1");
    const removed = server.io.of("/tenant-1");
    const socketOfRemoved = await eventually(() => sockets.get("/tenant-1"));
    first.disconnect();
    await eventually(() => !server.io._nsps.has("/tenant-1"));

    const others = await Promise.all(
      ["/tenant-2", "/tenant-1", "/tenant-3"].map((name) => server.connect(name)),
    );
    const heard = others.map(record);
    removed.emit("private");
    removed.to("/tenant-1").emit("private");
    removed.in([...others.map(({ id }) => id)]).emit("private");
    removed.socketsJoin("room");
    removed.disconnectSockets(true);
    socketOfRemoved.broadcast.emit("private");
    socketOfRemoved.emit("private");
    socketOfRemoved.join("room");
    expect(await removed.fetchSockets()).toEqual([]);
    expect(await removed.timeout(5000).emitWithAck("private")).toEqual([]);
    expect([...removed.adapter.rooms.keys()]).toEqual([]);
    parent.emit("end");
    await eventually(() => heard.every((events) => events.length > 0));
    expect(heard).toEqual([[["end"]], [["end"]], [["end"]]]);
    expect(others.map(({ connected }) => connected)).toEqual([true, true, true]);
  });

  test("the last client of a namespace that goes can be broadcast from", async () => {
    const server = await startServer({ cleanupEmptyChildNamespaces: true });
    const left = deferred();
    server.io.of(/^\/room-\d+$/).on("connection", (socket) => {
      socket.on("disconnecting", () => socket.to([...socket.rooms]).emit("leaving"));
      socket.on("disconnect", () => {
        socket.broadcast.emit("left");
        socket.to("somewhere").emit("left");
        socket.nsp.emit("left");
        socket.nsp.disconnectSockets();
        socket.join("late");
        left.resolve();
      });
    });
    const client = await server.connect("/room-1");
    client.disconnect();
    await within(left.promise, "the disconnect");
    await eventually(() => !server.io._nsps.has("/room-1"));
    await server.pair();
  });

  test("a late word on a client does not touch the one that came back in its place", async () => {
    const server = await startServer({ cleanupEmptyChildNamespaces: true });
    const nexts = [];
    const parent = server.io.of(/^\/slow-\d+$/);
    parent.use((_socket, next) => (nexts.length === 0 ? nexts.push(next) : next()));
    const early = await openWebSocket(server);
    early.send("40/slow-1,");
    await eventually(() => nexts.length === 1);
    early.socket.terminate();
    const client = await server.connect("/slow-1");
    const namespace = server.io.of("/slow-1");
    nexts[0]();
    const heard = once(client, "still here");
    await new Promise(setImmediate);
    expect(server.io._nsps.get("/slow-1")).toBe(namespace);
    namespace.emit("still here");
    await heard;
  });

  describe("a server that is closed", () => {
    /** Closes the server in the middle of something, and waits until that has gone well. */
    async function closing(server) {
      const closed = deferred();
      const close = () => Promise.resolve(server.io.close()).then(closed.resolve, closed.reject);
      return { close, closed: within(closed.promise, "the server to close") };
    }

    test("by a middleware is closed", async () => {
      const server = await startServer();
      const { close, closed } = await closing(server);
      server.io.use((_socket, next) => {
        close();
        next();
      });
      const client = server.client();
      await closed;
      await eventually(() => !client.connected && server.io.engine.clientsCount === 0);
      expect(server.io.of("/").sockets.size).toBe(0);
    });

    test("by a connection listener is closed", async () => {
      const server = await startServer();
      const { close, closed } = await closing(server);
      const reasons = [];
      server.io.on("connection", (socket) => {
        socket.on("disconnect", (reason) => reasons.push(reason));
        close();
        socket.emit("nobody hears");
        socket.join("room");
        server.io.emit("nobody hears");
      });
      server.client();
      await closed;
      await eventually(() => reasons.length === 1);
      expect(reasons).toEqual(["server shutting down"]);
    });

    test("by a disconnect listener is closed", async () => {
      const server = await startServer();
      const { close, closed } = await closing(server);
      const reasons = [];
      server.io.on("connection", (socket) => {
        socket.on("disconnect", (reason) => {
          reasons.push(reason);
          close();
        });
      });
      const clients = await Promise.all([server.connect(), server.connect(), server.connect()]);
      clients[0].disconnect();
      await closed;
      expect(reasons).toEqual([
        "client namespace disconnect",
        "server shutting down",
        "server shutting down",
      ]);
    });

    ferrioOnly("socket.io tells a listener that closes again and again", () => {
      test("by a disconnecting listener is closed", async () => {
        const server = await startServer();
        const { close, closed } = await closing(server);
        const heard = [];
        server.io.on("connection", (socket) => {
          socket.on("disconnecting", () => {
            heard.push("disconnecting");
            close();
          });
          socket.on("disconnect", () => heard.push("disconnect"));
        });
        const client = await server.connect();
        client.disconnect();
        await closed;
        expect(heard).toEqual(["disconnecting", "disconnect"]);
      });
    });

    ferrioOnly("engine.io opens a session then, and fails", () => {
      test("while a request waits to be allowed is closed", async () => {
        const server = await startServer({
          allowRequest: (_request, answer) => {
            close();
            process.nextTick(answer, null, true);
            process.nextTick(answer, null, true);
          },
        });
        const { close, closed } = await closing(server);
        const client = server.client("/", POLLING);
        await once(client, "connect_error");
        await closed;
        expect(server.io.engine.clientsCount).toBe(0);
      });
    });

    ferrioOnly("socket.io answers nobody who was not allowed yet", () => {
      test("while a request is never allowed is closed", async () => {
        const server = await startServer({ allowRequest: () => close() });
        const { close, closed } = await closing(server);
        const answer = request(server, "/socket.io/?EIO=4&transport=polling").catch(() => undefined);
        await closed;
        await answer;
      });
    });

    test("twice is closed once", async () => {
      const server = await startServer();
      const { client } = await server.pair();
      const gone = once(client, "disconnect");
      await Promise.all([server.io.close(), server.io.close()]);
      await gone;
      await server.io.close();
      server.io.emit("nobody hears");
      server.io.disconnectSockets(true);
      expect(await server.io.fetchSockets()).toEqual([]);
    });

    test("by a listener that throws is closed", async () => {
      const server = await startServer();
      const reasons = [];
      server.io.on("connection", (socket) => {
        socket.on("disconnect", () => {
          throw new Error("a listener's own");
        });
      });
      server.io.of("/other").on("connection", (socket) => {
        socket.on("disconnect", (reason) => reasons.push(reason));
      });
      await server.connect();
      const client = await server.connect("/other");
      const gone = once(client, "disconnect");
      await server.close();
      await gone;
      expect(reasons).toEqual(["server shutting down"]);
    });
  });

  describe("a low-level connection", () => {
    test("can be closed by a middleware", async () => {
      const server = await startServer();
      const states = [];
      server.io.use((socket) => {
        states.push(socket.conn.readyState);
        socket.conn.on("close", (reason) => states.push(reason, socket.conn.readyState));
        socket.conn.close();
      });
      const socket = await openWebSocket(server, { join: false });
      socket.send("40");
      await within(socket.closed, "the connection to close");
      await eventually(() => states.length === 3);
      expect(states).toEqual(["open", "forced close", "closed"]);
    });

    test("can be closed for a socket that has left while another stays", async () => {
      const server = await startServer();
      const reasons = [];
      server.io
        .of("/other")
        .on("connection", (socket) => socket.on("disconnect", (why) => reasons.push(why)));
      const { client, socket } = await server.pair();
      const other = client.io.socket("/other");
      await connected(other);
      client.disconnect();
      await once(socket, "disconnect");
      const { conn } = socket;
      expect([conn.readyState, conn.transport.name]).toEqual(["open", "websocket"]);
      const closed = once(conn, "close");
      const gone = once(other, "disconnect");
      conn.close();
      await gone;
      expect(await closed).toEqual(expect.arrayContaining(["forced close"]));
      expect([conn.readyState, reasons]).toEqual(["closed", ["forced close"]]);
      conn.close();
    });

    test("is the same for all sockets it ever has", async () => {
      const server = await startServer();
      const { client, socket } = await server.pair();
      server.watch("/other");
      const { conn } = socket;
      // Without it the client would close the connection.
      server.io.of("/third").use(() => {});
      client.io.socket("/third");
      client.disconnect();
      await once(socket, "disconnect");
      const other = client.io.socket("/other");
      await connected(other);
      const second = await server.socketOf(other);
      expect(second.conn === conn).toBe(true);
      const closed = once(conn, "close");
      client.io.engine.close();
      expect((await closed)[0]).toBe("transport close");
      expect(conn.readyState).toBe("closed");
    });

    test("tells of its end when no socket is left", async () => {
      const server = await startServer();
      const ends = [];
      server.io.use((socket, next) => {
        socket.conn.on("close", (reason) => ends.push(reason));
        next(new Error("refused"));
      });
      const socket = await openWebSocket(server, { join: false });
      expect(await ask(socket)).toMatch("refused");
      expect(ends).toEqual([]);
      socket.close();
      await eventually(() => ends.length === 1);
      expect(ends).toEqual(["transport close"]);
    });
  });
});
