"use strict";

/** Starts servers of the package under test on 127.0.0.1 and closes them after the test. */

const http = require("node:http");
const https = require("node:https");
const certificate = require("./certificate");
const { underTest } = require("./module");
const { afterThisTest } = require("./cleanup");
const { eventually, within } = require("./wait");
const clients = require("./client");

/**
 * The way connections come in: `attach` gives the server an HTTP server that somebody else made, `listen` a port number.
 * What a scenario shows must not depend on it, so `jest.config.js` runs all of them both ways.
 */
const DOOR = globalThis.FERRIO_TEST_DOOR;

/** One running server with the sockets that it told of. */
class TestServer {
  constructor(io, httpServer, port) {
    this.io = io;
    this.httpServer = httpServer;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.sockets = new Map();
    this.watched = new Set();
    this.watch("/");
  }

  /** Keeps every socket of a namespace and has it answer `barrier`. Returns the namespace. */
  watch(name) {
    const namespace = this.io.of(name);
    if (!this.watched.has(name)) {
      this.watched.add(name);
      namespace.on("connection", (socket) => {
        this.sockets.set(socket.id, socket);
        socket.on("barrier", (...args) => args.at(-1)());
      });
    }
    return namespace;
  }

  /** A client that need not be connected yet; see `client.js` for the options. */
  client(name = "/", options = {}) {
    return clients.open(this.url, name, options);
  }

  /** A connected client. */
  async connect(name = "/", options = {}) {
    const client = this.client(name, options);
    await clients.connected(client);
    return client;
  }

  /** A connected client with the socket that the server has for it. */
  async pair(name = "/", options = {}) {
    this.watch(name);
    const client = await this.connect(name, options);
    return { client, socket: await this.socketOf(client) };
  }

  /** The server's socket of a connected client of a watched namespace. */
  socketOf(client) {
    return eventually(() => this.sockets.get(client.id));
  }

  /** Listens on the same port after `close`. */
  async listenAgain() {
    this.io.listen(this.port);
    await portOf(this.io);
  }

  async close() {
    await within(this.io.close(), "the server to close");
  }
}

/**
 * Starts a server. `options` are those of the package's `Server`; `routes` is the request listener of the host application.
 */
async function startServer(options = {}, { routes, door = DOOR } = {}) {
  // The official server writes its defaults into the object that it is given.
  const own = { ...options };
  const server = door === "listen" && !routes ? await listen(own) : await attach(own, routes);
  afterThisTest(() => server.close());
  return server;
}

async function attach(options, routes) {
  const httpServer = http.createServer(routes);
  const io = new underTest.Server(httpServer, options);
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  return new TestServer(io, httpServer, httpServer.address().port);
}

/** The same behind TLS, which is Node's in any case. */
async function startSecureServer(options = {}) {
  const httpServer = https.createServer(certificate);
  const io = new underTest.Server(httpServer, { ...options });
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  const server = new TestServer(io, httpServer, httpServer.address().port);
  server.url = `https://127.0.0.1:${server.port}`;
  afterThisTest(() => server.close());
  return server;
}

async function listen(options) {
  const io = new underTest.Server(0, options);
  const port = await portOf(io);
  return new TestServer(io, io.httpServer, port);
}

/** The port of a server that opened it itself. */
async function portOf(io) {
  const address = await eventually(() => io.httpServer.address());
  return address.port;
}

module.exports = { startServer, startSecureServer, portOf, TestServer, DOOR };
