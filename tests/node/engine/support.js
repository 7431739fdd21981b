"use strict";

/** Starts Engine.IO servers of the package under test on 127.0.0.1, opens clients to them, and closes both after the test. */

const http = require("node:http");
const path = require("node:path");
const { Socket: ClientSocket } = require("engine.io-client");
const openVersion3 = require("engine.io-client-v3");
const { afterThisTest } = require("../support/cleanup");
const raw = require("../support/raw");
const { openTcp } = require("../support/tcp");
const { deferred, eventually, once, within } = require("../support/wait");

/** `ENGINE_TEST_MODULE=engine.io` runs the suite against the official server, which proves the tests themselves. */
const name = process.env.ENGINE_TEST_MODULE || ownModule();
const isOfficial = name === "engine.io";
const engineModule = require(name);

/** Declares scenarios that the official server fails, by fault or on purpose; `reason` says which in one sentence. */
function ferrioOnly(reason, declare) {
  if (!isOfficial) describe(`where ferrio differs: ${reason}`, declare);
}

/** Declares scenarios of what ferrio does not have; `reason` says why in one sentence. */
function officialOnly(_reason, declare) {
  if (isOfficial) declare();
}

/** `attach` takes an HTTP server that somebody else made, `listen` a port: what a scenario shows must not depend on it. */
const DOOR = globalThis.FERRIO_TEST_DOOR;

const PATH = "/engine.io/";
const POLLING = { transports: ["polling"] };
const WEBSOCKET = { transports: ["websocket"] };

/** The file behind `ferrio/engine`, which cannot be required by that name from here. */
function ownModule() {
  const root = path.resolve(__dirname, "../../..");
  const entry = require(path.join(root, "package.json")).exports["./engine"];
  if (entry === undefined) throw new Error("the package does not export ./engine");
  return path.join(root, entry.require);
}

/** One running engine with the sockets that it told of. */
class TestEngine {
  constructor(engine, httpServer) {
    this.engine = engine;
    this.httpServer = httpServer;
    this.port = httpServer.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
    this.sockets = new Map();
    engine.on("connection", (socket) => this.sockets.set(socket.id, socket));
  }

  /** The server's socket of this id. */
  socket(id) {
    return eventually(() => this.sockets.get(id));
  }

  /** The next `connection_error`. */
  async nextError() {
    return (await once(this.engine, "connection_error"))[0];
  }

  /** A client of the official package that need not be open yet. */
  client(options = {}) {
    return keep(new ClientSocket(this.url, { ...WEBSOCKET, ...options }));
  }

  /** A client of the protocol's third revision. */
  clientVersion3(options = {}) {
    return keep(openVersion3(this.url, { ...WEBSOCKET, ...options }));
  }

  /** An open client with the socket that the server has for it. */
  async pair(options = {}, client = this.client(options)) {
    await once(client, "open");
    return { client, socket: await this.socket(client.id) };
  }

  /** A long-polling session by hand, with the server's socket. */
  async polling({ query = "", headers = {}, protocol = 4 } = {}) {
    const session = new raw.PollingSession(this, { path: PATH, protocol });
    session.opening = await session.open(query, { headers });
    session.socket = await this.socket(session.sid);
    return session;
  }

  /** A bare WebSocket session, with the server's socket. */
  async webSocket({ query = "", protocol = 4, options } = {}) {
    const webSocket = await raw.openWebSocket(this, { join: false, path: PATH, query, protocol, options });
    webSocket.engineSocket = await this.socket(webSocket.handshake.sid);
    return webSocket;
  }

  /** A bare WebSocket for the session `sid`, as a client opens it that wants to upgrade. */
  probe(sid, { protocol = 4 } = {}) {
    return raw.openWebSocket(this, { path: PATH, sid, protocol });
  }

  /** One HTTP request below the engine's path; `query` without the question mark. */
  request(query, options) {
    return raw.request(this, `${PATH}?${query}`, options);
  }

  /** The status and text with which a WebSocket handshake is refused. */
  refusedWebSocket(query) {
    return raw.refusedWebSocket(this, `${PATH}?${query}`);
  }

  async close() {
    this.engine.close();
    await stop(this.httpServer);
  }
}

/** Closes a client of the official package after the test. */
function keep(client) {
  afterThisTest(async () => {
    client.close();
    if (client.readyState === "closing") await once(client, "close");
  });
  return client;
}

/** Closes an HTTP server with the connections that it has. */
async function stop(httpServer) {
  if (!httpServer.listening) return;
  const closed = new Promise((resolve) => httpServer.close(resolve));
  httpServer.closeAllConnections?.();
  await within(closed, "the HTTP server to close");
}

/** Starts an engine. `routes` is the request listener of the host application, which only `attach` has. */
async function startEngine(options = {}, { routes, door = DOOR } = {}) {
  const server =
    door === "listen" && !routes ? await listenEngine(options) : await attachEngine(options, routes);
  afterThisTest(() => server.close());
  return server;
}

async function attachEngine(options, routes) {
  const httpServer = http.createServer(routes);
  const engine = engineModule.attach(httpServer, options);
  await bound(httpServer);
  return new TestEngine(engine, httpServer);
}

async function listenEngine(options) {
  const listening = deferred();
  const engine = engineModule.listen(0, options, listening.resolve);
  await within(listening.promise, "the engine to listen");
  return new TestEngine(engine, engine.httpServer);
}

/** Gives an HTTP server a free port. */
async function bound(httpServer) {
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
}

/** Runs `step` and waits for the end of the session; returns what its close event said. */
async function closing(socket, step) {
  const closed = once(socket, "close");
  await step();
  return closed;
}

/** What the close event of the next session will say, however soon it ends. */
function nextEnd(server) {
  const end = new Promise((resolve) => {
    server.engine.once("connection", (socket) => socket.once("close", (...args) => resolve(args)));
  });
  return within(end, "the end of the next session");
}

/** Writes the names of these events into `list` as they come, each with what `note` makes of its arguments. */
function listen(emitter, names, list, note = () => []) {
  for (const event of names) emitter.on(event, (...args) => list.push([event, ...note(...args)].join(" ")));
}

/** Returns when the server has seen and answered whatever this client sent before; the server must echo messages. */
async function echoed(client, text = "barrier") {
  const answer = new Promise((resolve) => {
    client.on("message", function hear(message) {
      if (message !== text) return;
      client.off("message", hear);
      resolve();
    });
  });
  client.send(text);
  await within(answer, "the echo");
}

module.exports = {
  ...require("../support/cleanup"),
  ...require("../support/wait"),
  DOOR,
  PATH,
  POLLING,
  SEPARATOR: raw.SEPARATOR,
  TestEngine,
  WEBSOCKET,
  bound,
  closing,
  echoed,
  engineModule,
  ferrioOnly,
  listen,
  nextEnd,
  officialOnly,
  openTcp,
  request: raw.request,
  startEngine,
  stop,
};
