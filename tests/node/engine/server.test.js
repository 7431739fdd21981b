"use strict";

const { EventEmitter } = require("node:events");
const http = require("node:http");
const net = require("node:net");
const {
  POLLING,
  TestEngine,
  afterThisTest,
  bound,
  echoed,
  engineModule,
  once,
  openTcp,
  request,
  startEngine,
  stop,
  within,
} = require("./support");

const HANDSHAKE = "EIO=4&transport=polling";

/** What a polling handshake announces. */
async function announced(server) {
  const answer = await server.request(HANDSHAKE);
  return JSON.parse(answer.text.slice(1));
}

/** A request that wants a protocol nobody speaks, on a bare connection. */
async function askForAnotherProtocol(server) {
  const connection = await openTcp(server);
  connection.write("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: IRC/6.9\r\n\r\n");
  return connection;
}

describe("the module", () => {
  test("exports the server, the socket, two ways to start and the protocol's number", () => {
    expect(engineModule.protocol).toBe(4);
    expect(typeof engineModule.Socket).toBe("function");
    expect(typeof engineModule.listen).toBe("function");
    expect(typeof engineModule.attach).toBe("function");
    expect(new engineModule.Server()).toBeInstanceOf(EventEmitter);
  });

  test("names the errors", () => {
    const { errors, errorMessages } = engineModule.Server;
    expect(errors).toEqual({
      UNKNOWN_TRANSPORT: 0,
      UNKNOWN_SID: 1,
      BAD_HANDSHAKE_METHOD: 2,
      BAD_REQUEST: 3,
      FORBIDDEN: 4,
      UNSUPPORTED_PROTOCOL_VERSION: 5,
    });
    expect(Object.values(errors).map((code) => errorMessages[code])).toEqual([
      "Transport unknown",
      "Session ID unknown",
      "Bad handshake method",
      "Bad request",
      "Forbidden",
      "Unsupported protocol version",
    ]);
  });

  test("attach() and listen() return a server", async () => {
    const attached = await startEngine({}, { door: "attach" });
    expect(attached.engine).toBeInstanceOf(engineModule.Server);
    const listening = await startEngine({}, { door: "listen" });
    expect(listening.engine).toBeInstanceOf(engineModule.Server);
    expect(listening.engine.httpServer.address().port).toBeGreaterThan(0);
  });

  test("listen() takes the callback in place of the options", async () => {
    const listening = new Promise((resolve) => {
      const engine = engineModule.listen(0, () => resolve(engine));
    });
    const engine = await within(listening, "the engine to listen");
    const server = new TestEngine(engine, engine.httpServer);
    afterThisTest(() => server.close());
    expect((await server.request(HANDSHAKE)).status).toBe(200);
  });
});

describe("options", () => {
  test("have defaults, which the given object does not get", () => {
    const given = { pingTimeout: 5000 };
    const { opts } = new engineModule.Server(given);
    expect(given).toEqual({ pingTimeout: 5000 });
    expect(opts).toMatchObject({
      pingTimeout: 5000,
      pingInterval: 25000,
      upgradeTimeout: 10000,
      maxHttpBufferSize: 1e6,
      transports: ["polling", "websocket"],
      allowUpgrades: true,
      httpCompression: { threshold: 1024 },
      cors: false,
      allowEIO3: false,
    });
  });

  test("of the cookie are filled up", () => {
    expect(new engineModule.Server({ cookie: true }).opts.cookie).toEqual({
      name: "io",
      path: "/",
      httpOnly: true,
      sameSite: "lax",
    });
    expect(new engineModule.Server({ cookie: { name: "sid", path: "/chat" } }).opts.cookie).toMatchObject({
      name: "sid",
      path: "/chat",
      httpOnly: true,
    });
    expect(new engineModule.Server().opts.cookie).toBeUndefined();
  });

  test("of the compression of WebSockets are filled up, which is off by default", () => {
    expect(new engineModule.Server().opts.perMessageDeflate).toBeFalsy();
    expect(new engineModule.Server({ perMessageDeflate: true }).opts.perMessageDeflate).toEqual({
      threshold: 1024,
    });
  });

  test("are announced in the handshake", async () => {
    const server = await startEngine({ pingInterval: 1234, pingTimeout: 4321, maxHttpBufferSize: 777 });
    const { sid, ...rest } = await announced(server);
    expect(sid).toMatch(/^[\w-]{20}$/);
    expect(rest).toEqual({ upgrades: ["websocket"], pingInterval: 1234, pingTimeout: 4321, maxPayload: 777 });
    const webSocket = await server.webSocket();
    expect(webSocket.handshake).toMatchObject({ upgrades: [], pingInterval: 1234, maxPayload: 777 });
  });

  test.each([{ allowUpgrades: false }, { transports: ["polling"] }])(
    "with %j offer no upgrade",
    async (options) => {
      const server = await startEngine(options);
      expect((await announced(server)).upgrades).toEqual([]);
    },
  );

  test("without WebSocket among the transports refuse it", async () => {
    const server = await startEngine({ transports: ["polling"] });
    expect((await server.refusedWebSocket("EIO=4&transport=websocket")).status).toBe(400);
  });

  test("without polling among the transports refuse it", async () => {
    const server = await startEngine({ transports: ["websocket"] });
    const answer = await server.request(HANDSHAKE);
    expect([answer.status, JSON.parse(answer.text)]).toEqual([
      400,
      { code: 0, message: "Transport unknown" },
    ]);
    const { socket } = await server.pair();
    expect(socket.transport.name).toBe("websocket");
  });
});

describe("paths", () => {
  test("below /engine.io/ belong to the engine, however long", async () => {
    const server = await startEngine();
    expect((await request(server, `/engine.io/default/?${HANDSHAKE}`)).status).toBe(200);
  });

  test("can be elsewhere", async () => {
    const routes = (_request, response) => response.writeHead(404).end();
    const server = await startEngine({ path: "/live" }, { routes });
    expect((await request(server, `/live/?${HANDSHAKE}`)).status).toBe(200);
    expect((await request(server, `/engine.io/?${HANDSHAKE}`)).status).toBe(404);
    const { socket } = await server.pair({ path: "/live" });
    expect(socket.request.url.startsWith("/live/?")).toBe(true);
  });

  test("end with a slash, unless told otherwise", async () => {
    const routes = (_request, response) => response.writeHead(404).end();
    const strict = await startEngine({}, { routes });
    expect((await request(strict, `/engine.io?${HANDSHAKE}`)).status).toBe(404);
    const lax = await startEngine({ addTrailingSlash: false }, { routes });
    expect((await request(lax, `/engine.io?${HANDSHAKE}`)).status).toBe(200);
    expect((await request(lax, `/engine.io/?${HANDSHAKE}`)).status).toBe(200);
  });

  test("of others go to the listeners that were there before, all of them", async () => {
    const heard = [];
    const httpServer = http.createServer((asked) => heard.push(`first ${asked.url}`));
    httpServer.on("request", (asked, response) => {
      heard.push(`second ${asked.url}`);
      response.end("theirs");
    });
    const engine = engineModule.attach(httpServer);
    await bound(httpServer);
    const server = new TestEngine(engine, httpServer);
    afterThisTest(() => server.close());
    expect((await request(server, "/theirs")).text).toBe("theirs");
    expect((await server.request(HANDSHAKE)).status).toBe(200);
    expect(heard).toEqual(["first /theirs", "second /theirs"]);
  });

  test("of others are answered with 501 by listen()", async () => {
    const server = await startEngine({}, { door: "listen" });
    const answer = await request(server, "/theirs");
    expect([answer.status, answer.text]).toEqual([501, "Not Implemented"]);
  });

  test("of two engines stand side by side on one HTTP server", async () => {
    const server = await startEngine({}, { door: "attach" });
    const second = engineModule.attach(server.httpServer, { path: "/second" });
    afterThisTest(() => second.close());
    const sockets = [];
    second.on("connection", (socket) => sockets.push(socket));
    await server.pair();
    const client = server.client({ path: "/second", transports: ["polling", "websocket"] });
    await once(client, "upgrade");
    expect(sockets).toHaveLength(1);
    expect([server.engine.clientsCount, second.clientsCount]).toEqual([1, 1]);
  });
});

describe("upgrades to other protocols", () => {
  test("are ended when nobody answers", async () => {
    const server = await startEngine({ destroyUpgradeTimeout: 20 }, { door: "attach" });
    const connection = await askForAnotherProtocol(server);
    await connection.ended();
    expect(connection.received.length).toBe(0);
  });

  test("are left alone with destroyUpgrade: false", async () => {
    const patient = await startEngine(
      { destroyUpgrade: false, destroyUpgradeTimeout: 5 },
      { door: "attach" },
    );
    const sockets = [];
    patient.httpServer.on("upgrade", (_request, socket) => {
      sockets.push(socket);
      afterThisTest(() => socket.destroy());
    });
    const left = await askForAnotherProtocol(patient);
    const strict = await startEngine({ destroyUpgradeTimeout: 5 }, { door: "attach" });
    await (await askForAnotherProtocol(strict)).ended();
    sockets[0].end("still here");
    await left.ended();
    expect(left.received.toString()).toBe("still here");
  });

  test("are left to whoever answers in time", async () => {
    const server = await startEngine({ destroyUpgradeTimeout: 5 }, { door: "attach" });
    server.httpServer.on("upgrade", (_request, socket) => {
      socket.write("mine");
      socket.on("data", (chunk) => socket.end(chunk));
    });
    const kept = await askForAnotherProtocol(server);
    const strict = await startEngine({ destroyUpgradeTimeout: 5 }, { door: "attach" });
    await (await askForAnotherProtocol(strict)).ended();
    kept.write("!");
    await kept.ended();
    expect(kept.received.toString()).toBe("mine!");
  });
});

describe("requests given by hand", () => {
  test("open sessions and upgrade them", async () => {
    const engine = new engineModule.Server();
    const httpServer = http.createServer((asked, response) => engine.handleRequest(asked, response));
    httpServer.on("upgrade", (asked, socket, head) => engine.handleUpgrade(asked, socket, head));
    await bound(httpServer);
    const server = new TestEngine(engine, httpServer);
    afterThisTest(() => server.close());
    engine.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));

    const { client, socket } = await server.pair({ path: "/anywhere", transports: ["polling", "websocket"] });
    await once(client, "upgrade");
    await echoed(client);
    expect(socket.transport.name).toBe("websocket");
    expect(socket.request.url.startsWith("/anywhere/?")).toBe(true);
  });

  test("may have been read by somebody before: _query is taken as it is", async () => {
    const engine = new engineModule.Server();
    const httpServer = http.createServer((asked, response) => {
      asked._query = { EIO: "4", transport: "polling", mark: "given" };
      engine.handleRequest(asked, response);
    });
    await bound(httpServer);
    const server = new TestEngine(engine, httpServer);
    afterThisTest(() => server.close());
    const connected = once(engine, "connection");
    expect((await request(server, "/")).status).toBe(200);
    expect((await connected)[0].request._query.mark).toBe("given");
  });
});

describe("clients", () => {
  test("are counted and kept by id from the connection event on", async () => {
    const server = await startEngine();
    expect([server.engine.clientsCount, Object.keys(server.engine.clients)]).toEqual([0, []]);
    const seen = [];
    server.engine.on("connection", (socket) => {
      seen.push([server.engine.clientsCount, server.engine.clients[socket.id] === socket]);
    });
    await server.pair();
    await server.pair(POLLING);
    expect(seen).toEqual([
      [1, true],
      [2, true],
    ]);
  });

  test("are gone when their close event is heard", async () => {
    const server = await startEngine();
    const { client, socket } = await server.pair();
    const seen = new Promise((resolve) => {
      socket.on("close", () => resolve([server.engine.clientsCount, socket.id in server.engine.clients]));
    });
    client.close();
    expect(await within(seen, "the close event")).toEqual([0, false]);
  });

  test("are sockets of the module", async () => {
    const server = await startEngine();
    const { socket } = await server.pair();
    expect(socket).toBeInstanceOf(engineModule.Socket);
    expect(socket).toBeInstanceOf(EventEmitter);
  });
});

describe("generateId", () => {
  test("makes the ids, from the request", async () => {
    const server = await startEngine();
    const asked = [];
    server.engine.generateId = (given) => {
      asked.push(given);
      return `custom-${given._query.user}`;
    };
    const { client, socket } = await server.pair({ query: { user: "ada" } });
    expect([client.id, socket.id]).toEqual(["custom-ada", "custom-ada"]);
    expect(asked).toHaveLength(1);
    expect(asked[0] === socket.request).toBe(true);
    expect(asked[0].headers.host).toBe(`127.0.0.1:${server.port}`);
  });

  test.each(["polling", "websocket"])("may be asynchronous (%s)", async (transport) => {
    const server = await startEngine();
    server.engine.generateId = async () => {
      await new Promise(setImmediate);
      return `late-${transport}`;
    };
    const { client } = await server.pair({ transports: [transport] });
    expect(client.id).toBe(`late-${transport}`);
    expect(Object.keys(server.engine.clients)).toEqual([`late-${transport}`]);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("no more ids");
      },
    ],
    ["rejects", () => Promise.reject(new Error("no more ids"))],
  ])("that %s refuses the client", async (_how, generateId) => {
    const server = await startEngine();
    server.engine.generateId = generateId;
    const error = server.nextError();
    const answer = await server.request(HANDSHAKE);
    expect([answer.status, JSON.parse(answer.text)]).toEqual([400, { code: 3, message: "Bad request" }]);
    const { code, message, context } = await error;
    expect([code, message, context.name]).toEqual([3, "Bad request", "ID_GENERATION_ERROR"]);
    expect(context.error.message).toBe("no more ids");
    expect(server.engine.clientsCount).toBe(0);
  });

  test("that fails ends a WebSocket as well", async () => {
    const server = await startEngine();
    server.engine.generateId = () => Promise.reject(new Error("no more ids"));
    const error = server.nextError();
    const client = server.client();
    await once(client, "close");
    expect((await error).context.name).toBe("ID_GENERATION_ERROR");
    expect(server.engine.clientsCount).toBe(0);
  });
});

describe("allowRequest", () => {
  test("is asked once per session, at its beginning", async () => {
    const asked = [];
    const server = await startEngine({
      allowRequest: (given, answer) => {
        asked.push([given.method, given._query.transport, given.headers["x-token"]]);
        answer(null, true);
      },
    });
    const { client } = await server.pair({
      transports: ["polling", "websocket"],
      extraHeaders: { "x-token": "secret" },
    });
    if (client.transport.name === "polling") await once(client, "upgrade");
    expect(asked).toEqual([["GET", "polling", "secret"]]);
  });

  test("decides when it likes", async () => {
    let decide;
    const asked = new Promise((resolve) => {
      decide = resolve;
    });
    const server = await startEngine({ allowRequest: (_given, answer) => decide(answer) });
    const opening = server.pair();
    const answer = await within(asked, "the question");
    expect(server.engine.clientsCount).toBe(0);
    answer(null, true);
    expect((await opening).socket.readyState).toBe("open");
  });

  test.each([
    ["its own words", "not today", "not today"],
    ["nothing", null, "Forbidden"],
  ])("refuses with %s", async (_what, reason, text) => {
    const server = await startEngine({ allowRequest: (_given, answer) => answer(reason, false) });
    const error = server.nextError();
    const answer = await server.request(HANDSHAKE);
    expect([answer.status, JSON.parse(answer.text)]).toEqual([403, { code: 4, message: text }]);
    expect(await error).toMatchObject({ code: 4, message: "Forbidden", context: { message: reason } });
    // A WebSocket gets the same words, but never this status.
    expect(await server.refusedWebSocket("EIO=4&transport=websocket")).toEqual({ status: 400, text });
  });
});

describe("close()", () => {
  test("ends all sessions at once", async () => {
    const server = await startEngine();
    const webSocket = await server.pair();
    const polling = await server.pair(POLLING);
    const heard = [];
    for (const { socket } of [webSocket, polling]) {
      socket.on("close", (reason) => heard.push([reason, socket.readyState]));
    }
    const ends = [webSocket, polling].map(({ client }) => once(client, "close"));
    expect(server.engine.close()).toBe(server.engine);
    expect(heard).toEqual([
      ["forced close", "closed"],
      ["forced close", "closed"],
    ]);
    expect([server.engine.clientsCount, Object.keys(server.engine.clients)]).toEqual([0, []]);
    await Promise.all(ends);
  });

  test("drops what is still to be sent", async () => {
    const server = await startEngine();
    const session = await server.polling();
    session.socket.send("never read");
    server.engine.close();
    const answer = await session.poll();
    expect([answer.status, JSON.parse(answer.text).code]).toEqual([400, 1]);
  });

  test("comes with the end of the HTTP server", async () => {
    const server = await startEngine({}, { door: "attach" });
    const session = await server.polling();
    const closed = once(session.socket, "close");
    await stop(server.httpServer);
    expect((await closed)[0]).toBe("forced close");
    expect(server.engine.clientsCount).toBe(0);
  });

  test("is not for ever: an HTTP server that listens again brings the engine back", async () => {
    const server = await startEngine({}, { door: "attach" });
    await server.pair();
    server.engine.close();
    await stop(server.httpServer);
    server.httpServer.listen(server.port, "127.0.0.1");
    await once(server.httpServer, "listening");
    const { socket } = await server.pair();
    expect([socket.readyState, socket.transport.name]).toEqual(["open", "websocket"]);
  });
});

test("listen() frees its port", async () => {
  const server = await startEngine({}, { door: "listen" });
  await server.close();
  const refused = once(net.connect(server.port, "127.0.0.1"), "error");
  expect((await refused)[0].code).toBe("ECONNREFUSED");
});
