"use strict";

const { execFile, spawn } = require("node:child_process");
const http = require("node:http");
const path = require("node:path");
const { promisify } = require("node:util");
const zlib = require("node:zlib");
const express = require("express");
const { WebSocketServer } = require("ws");
const {
  DOOR,
  POLLING,
  RawWebSocket,
  UPGRADE,
  WEBSOCKET,
  afterThisTest,
  barrier,
  connected,
  deferred,
  eventually,
  ferrioOnly,
  isOfficial,
  once,
  openPolling,
  openWebSocket,
  portOf,
  record,
  request,
  startServer,
  TestServer,
  underTest,
  upgraded,
  within,
} = require("./support");

const TRANSPORTS = [WEBSOCKET, POLLING, UPGRADE];

/** An HTTP server of somebody else on a free port, closed after the test. */
async function hostServer(routes) {
  const httpServer = http.createServer(routes);
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  afterThisTest(() => new Promise((resolve) => httpServer.close(resolve)));
  return httpServer;
}

/** Runs a program of `programs` to its own end. */
async function run(name, ...args) {
  const program = path.join(__dirname, "programs", name);
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { timeout: 20000 });
  return stdout;
}

describe("server", () => {
  test("close ends all clients and resolves", async () => {
    const server = await startServer();
    const clients = await Promise.all(TRANSPORTS.map((transport) => server.connect("/", transport)));
    const session = await openPolling(server);
    const poll = await session.startPoll();
    const released = poll.answer.catch((error) => error);
    const raw = await openWebSocket(server);
    const gone = clients.map((client) => once(client, "disconnect"));
    await within(server.io.close(), "the server to close");
    await Promise.all(gone);
    await raw.closeCode();
    await released;
    const late = server.client();
    await once(late, "connect_error");
  });

  test("close in the middle of upgrades ends all clients", async () => {
    for (let round = 0; round < 10; round += 1) {
      const server = await startServer();
      let closing;
      server.io.on("connection", () => {
        closing ??= server.io.close();
      });
      const clients = Array.from({ length: 4 }, () => server.client("/", UPGRADE));
      await Promise.all(clients.map((client) => once(client.io.engine, "close")));
      await within(closing, "the server to close");
    }
  });

  test("close while events flow both ways resolves", async () => {
    const server = await startServer();
    server.io.on("connection", (socket) => {
      socket.on("up", (text, answer) => {
        socket.emit("down", text);
        server.io.emit("all", text);
        answer(text);
      });
    });
    const clients = await Promise.all(
      [...TRANSPORTS, ...TRANSPORTS].map((transport) => server.connect("/", transport)),
    );
    const gone = clients.map((client) => once(client, "disconnect"));
    let answers = 0;
    for (const client of clients) {
      const ask = () => {
        if (!client.connected) return;
        client.emit("up", "x".repeat(1000), () => {
          answers += 1;
          ask();
        });
      };
      for (let n = 0; n < 5; n += 1) ask();
    }
    await eventually(() => answers > 500);
    await within(server.io.close(), "the server to close");
    await Promise.all(gone);
    expect(await server.io.fetchSockets()).toEqual([]);
  });

  test("close calls back", async () => {
    const server = await startServer();
    await server.connect();
    const closed = deferred();
    server.io.close((...args) => closed.resolve(args));
    const [error] = await within(closed.promise, "the callback");
    expect(error).toBeUndefined();
    expect(server.httpServer.listening).toBe(false);
  });

  test("close without a running HTTP server resolves", async () => {
    const never = new underTest.Server(http.createServer());
    await within(never.close(), "the server to close");
    const told = deferred();
    new underTest.Server(http.createServer()).close((error) => told.resolve(error));
    expect((await within(told.promise, "the callback")).code).toBe("ERR_SERVER_NOT_RUNNING");
  });

  test("a closed server lets its port go and can listen again with the old handlers", async () => {
    const server = await startServer();
    await barrier(await server.connect());
    for (let round = 0; round < 3; round += 1) {
      await within(new Promise((resolve) => server.io.close(resolve)), "the server to close");
      await server.listenAgain();
      for (const transport of TRANSPORTS) await barrier(await server.connect("/", transport));
    }
  });

  test("listen and attach are the same thing", async () => {
    for (const method of ["listen", "attach"]) {
      const httpServer = http.createServer();
      const io = new underTest.Server();
      expect(io[method](httpServer)).toBe(io);
      await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
      const server = new TestServer(io, httpServer, httpServer.address().port);
      afterThisTest(() => server.close());
      for (const transport of TRANSPORTS) await barrier(await server.connect("/", transport));
    }
  });

  test("a server made with a port number listens by itself", async () => {
    for (const make of [() => new underTest.Server(0), () => new underTest.Server().listen(0)]) {
      const io = make();
      const server = new TestServer(io, io.httpServer, await portOf(io));
      afterThisTest(() => server.close());
      for (const transport of TRANSPORTS) {
        const client = await server.connect("/", transport);
        if (transport === UPGRADE) await upgraded(client);
        await barrier(client);
      }
    }
  });

  test("a port that is said to be open takes connections at once", async () => {
    // The program tells its port in the very moment; a gap after it would refuse most of these.
    for (let round = 0; round < 5; round += 1) {
      const program = spawn(process.execPath, [path.join(__dirname, "programs", "says-when-open.js")]);
      afterThisTest(() => program.kill());
      const [port] = await once(program.stdout, "data");
      const response = await fetch(`http://127.0.0.1:${port}/socket.io/?EIO=4&transport=polling`);
      expect([response.status, (await response.text())[0]]).toEqual([200, "0"]);
      program.kill();
    }
  });

  test("the routes of the host application keep working on the same port", async () => {
    const app = express();
    app.use(express.json());
    app.get("/hello", (_, response) => response.send("hello"));
    app.post("/echo", (asked, response) => response.json(asked.body));
    const server = await startServer({}, { routes: app });
    for (const transport of TRANSPORTS) await barrier(await server.connect("/", transport));
    const hello = await request(server, "/hello");
    expect([hello.status, hello.text]).toEqual([200, "hello"]);
    const body = JSON.stringify({ text: "größe" });
    const echo = await request(server, "/echo", {
      method: "POST",
      body,
      headers: { "Content-Type": "application/json" },
    });
    expect(echo.text).toBe(body);
    expect((await request(server, "/socket.ioo/")).status).toBe(404);
    expect((await request(server, "/unknown")).status).toBe(404);
  });

  test("the routes of the host application answer while sockets are connected", async () => {
    const app = express();
    const server = await startServer({}, { routes: app });
    app.get("/count", async (_, response) => response.json((await server.io.fetchSockets()).length));
    app.post("/notify", (_, response) => {
      server.io.emit("notice", "from a route");
      response.end();
    });
    const clients = await Promise.all(TRANSPORTS.map((transport) => server.connect("/", transport)));
    const heard = clients.map(record);
    expect((await request(server, "/count")).text).toBe("3");
    await request(server, "/notify", { method: "POST" });
    await barrier(...clients);
    expect(heard).toEqual(clients.map(() => [["notice", "from a route"]]));
  });

  test("upgrade requests of other paths are left to the host application", async () => {
    const httpServer = await hostServer();
    const others = new WebSocketServer({ noServer: true });
    httpServer.on("upgrade", (asked, socket, head) => {
      if (asked.url !== "/own") return;
      others.handleUpgrade(asked, socket, head, (peer) =>
        peer.on("message", (data) => peer.send(`own ${data}`)),
      );
    });
    const io = new underTest.Server(httpServer);
    const server = new TestServer(io, httpServer, httpServer.address().port);
    afterThisTest(() => server.close());
    const peer = new RawWebSocket(`ws://127.0.0.1:${server.port}/own`);
    await peer.opened;
    peer.send("first");
    expect(await peer.next()).toBe("own first");
    await barrier(await server.connect());
    peer.send("second");
    expect(await peer.next()).toBe("own second");
    peer.close();
    await peer.closeCode();
  });

  test("three hundred clients are connected at once and each gets its own answer", async () => {
    const server = await startServer();
    server.io.on("connection", (socket) => socket.on("whoami", (answer) => answer(socket.id)));
    const clients = await Promise.all(
      Array.from({ length: 300 }, (_, n) => server.connect("/", n % 5 ? WEBSOCKET : POLLING)),
    );
    const answers = await Promise.all(clients.map((client) => client.emitWithAck("whoami")));
    expect(answers).toEqual(clients.map(({ id }) => id));
    expect(await server.io.fetchSockets()).toHaveLength(300);
  });

  test("three hundred clients hear one broadcast", async () => {
    const server = await startServer();
    const clients = await Promise.all(
      Array.from({ length: 300 }, (_, n) => server.connect("/", n % 5 ? WEBSOCKET : POLLING)),
    );
    const heard = clients.map((client) => once(client, "all"));
    server.io.emit("all", { n: 1 });
    for (const args of await Promise.all(heard)) expect(args).toEqual([{ n: 1 }]);
  });

  test("clients that come and go leave nothing behind", async () => {
    const server = await startServer();
    server.io.on("connection", (socket) => socket.join(["room", `own ${socket.id}`]));
    for (let round = 0; round < 10; round += 1) {
      const clients = await Promise.all(
        Array.from({ length: 15 }, (_, n) => server.connect("/", TRANSPORTS[n % 3])),
      );
      for (const [n, client] of clients.entries()) {
        if (n % 2) client.disconnect();
        else client.io.engine.close();
      }
    }
    await eventually(async () => (await server.io.fetchSockets()).length === 0);
    const { rooms, sids } = server.io.of("/").adapter;
    expect([rooms.size, sids.size]).toEqual([0, 0]);
  });

  test("several servers in one process do not hear each other", async () => {
    const servers = await Promise.all([startServer(), startServer(), startServer()]);
    const pairs = await Promise.all(servers.map((server) => server.pair()));
    const heard = pairs.map(({ client }) => record(client));
    pairs.forEach(({ socket }) => socket.join("room"));
    servers.forEach(({ io }, n) => io.emit("all", n));
    servers.forEach(({ io }, n) => io.to("room").emit("room", n));
    await barrier(...pairs.map(({ client }) => client));
    expect(heard).toEqual(
      servers.map((_, n) => [
        ["all", n],
        ["room", n],
      ]),
    );
    await servers[0].close();
    await barrier(pairs[1].client, pairs[2].client);
  });

  test("many servers are opened and closed in turn", async () => {
    for (let round = 0; round < 30; round += 1) {
      const server = await startServer();
      await barrier(await server.connect("/", TRANSPORTS[round % 3]));
      await server.close();
    }
  });

  test("two servers share one HTTP server on different paths", async () => {
    const httpServer = await hostServer();
    const servers = ["/one", "/two"].map((own) => {
      const io = new underTest.Server(httpServer, { path: own });
      return { own, server: new TestServer(io, httpServer, httpServer.address().port) };
    });
    // The HTTP server, which the first to close closes, waits for the connections of both.
    afterThisTest(() => Promise.all(servers.map(({ server }) => server.close())));
    for (const transport of TRANSPORTS) {
      const clients = await Promise.all(
        servers.map(({ own, server }) => server.connect("/", { path: own, ...transport })),
      );
      const heard = clients.map(record);
      servers.forEach(({ own, server }) => server.io.emit("from", own));
      await barrier(...clients);
      expect(heard).toEqual(servers.map(({ own }) => [["from", own]]));
    }
  });

  test("the number of connections is known", async () => {
    const server = await startServer();
    expect(server.io.engine.clientsCount).toBe(0);
    const clients = await Promise.all(TRANSPORTS.map((transport) => server.connect("/", transport)));
    expect(server.io.engine.clientsCount).toBe(3);
    clients[0].disconnect();
    await eventually(() => server.io.engine.clientsCount === 2);
  });

  test("the browser's client is served unless switched off", async () => {
    const server = await startServer();
    const whole = await request(server, "/socket.io/socket.io.js");
    expect(whole.status).toBe(200);
    expect(whole.headers["content-type"]).toMatch(/^application\/javascript/);
    expect(whole.text).toContain("Socket.IO v4");
    const { etag } = whole.headers;
    const again = await request(server, "/socket.io/socket.io.js", { headers: { "If-None-Match": etag } });
    expect([again.status, again.text]).toEqual([304, ""]);
    const map = await request(server, "/socket.io/socket.io.min.js.map");
    expect(JSON.parse(map.text).version).toBe(3);
    const packed = await request(server, "/socket.io/socket.io.js", {
      headers: { "Accept-Encoding": "gzip" },
    });
    expect(packed.headers["content-encoding"]).toBe("gzip");
    expect(zlib.gunzipSync(packed.body).equals(whole.body)).toBe(true);
    expect((await request(server, "/socket.io/unknown.js")).status).toBe(400);

    const without = await startServer({ serveClient: false });
    expect((await request(without, "/socket.io/socket.io.js")).status).toBe(400);
  });

  // The core keeps the files as they are and by gzip, for whoever takes that.
  const ofOwnPort = (expected) => (DOOR === "listen" && !isOfficial ? "gzip" : expected);

  test.each([
    ["gzip, deflate, br, zstd", "gzip"],
    ["br, gzip", ofOwnPort("br")],
    ["br;q=0.5, gzip;q=0.8", "gzip"],
    ["gzip;q=0.5, br;q=0.8", ofOwnPort("br")],
    ["deflate, gzip", ofOwnPort("deflate")],
    ["*", ofOwnPort("br")],
    ["*, gzip", "gzip"],
    ["*;q=0, GZIP;q=0.1", "gzip"],
    ["br;q=0, gzip;q=0.0, deflate; q=0", undefined],
    ["identity", undefined],
    ["", undefined],
  ])("the browser's client is packed as a browser likes it best: %s", async (accepted, expected) => {
    const server = await startServer();
    const whole = await request(server, "/socket.io/socket.io.min.js");
    const file = await request(server, "/socket.io/socket.io.min.js", {
      headers: { "Accept-Encoding": accepted },
    });
    expect(file.headers["content-encoding"]).toBe(expected);
    const unpack = { br: zlib.brotliDecompressSync, gzip: zlib.gunzipSync, deflate: zlib.inflateSync };
    const body = expected === undefined ? file.body : unpack[expected](file.body);
    expect(body.equals(whole.body)).toBe(true);
  });

  test("the process ends by itself after close", async () => {
    expect(await run("closes.js")).toBe("pong pong pong pong pong pong closed");
  });

  test("an exception in a handler has the documented fate", async () => {
    expect(await run("throws.js", "throw")).toBe("uncaughtException: from a listener; still serving");
    expect(await run("throws.js", "reject")).toBe(
      "unhandledRejection: from an async listener; still serving",
    );
    expect(await run("throws.js", "connection")).toBe(
      "uncaughtException: from the connection handler; still serving",
    );
    expect(await run("throws.js", "middleware")).toBe("unhandledRejection: from a middleware; still serving");
  });

  test("a client reconnects to a server that listens again", async () => {
    const server = await startServer();
    const client = server.client("/", {
      reconnection: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 50,
    });
    await connected(client);
    const first = client.id;
    const back = new Promise((resolve) => server.io.on("connection", resolve));
    await server.close();
    await server.listenAgain();
    const socket = await within(back, "the client to come back");
    expect(socket.id).not.toBe(first);
    await eventually(() => client.id === socket.id);
  });
});

ferrioOnly("the official server's timer of an ack keeps the process alive until the ack times out", () => {
  test("a pending ack does not keep the process from ending", async () => {
    expect(await run("closes.js", "with a pending ack")).toBe("pong pong pong pong pong pong closed");
  });
});
