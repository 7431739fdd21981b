"use strict";

/** Opens official clients and closes them after the test. */

const { io: connectClient } = require("socket.io-client");
const { afterThisTest } = require("./cleanup");
const { once, within } = require("./wait");

const POLLING = { transports: ["polling"] };
const WEBSOCKET = { transports: ["websocket"] };
const UPGRADE = { transports: ["polling", "websocket"] };

/** A client on a connection of its own, over WebSocket and without reconnection unless `options` say otherwise. */
function open(url, name, options) {
  const client = connectClient(url + (name === "/" ? "" : name), {
    forceNew: true,
    reconnection: false,
    ...WEBSOCKET,
    ...options,
  });
  afterThisTest(() => closed(client, () => client.io._close()));
  return client;
}

/** Runs `close` and waits for the end of the client's connection: over long-polling its close packet is a request of its own. */
async function closed(client, close) {
  const { engine } = client.io;
  close();
  if (engine?.readyState === "closing") await once(engine, "close");
}

/** Waits for the connect event, or fails with what the server said. */
function connected(client) {
  if (client.connected) return Promise.resolve();
  const outcome = new Promise((resolve, reject) => {
    client.once("connect", resolve);
    client.once("connect_error", reject);
  });
  return within(outcome, "the client to connect");
}

/** Another namespace on the connection of `client`. */
async function join(client, name, options) {
  const other = client.io.socket(name, options);
  if (!other.active) other.connect();
  await connected(other);
  return other;
}

/** Waits until the client's connection runs over WebSocket. */
async function upgraded(client) {
  const engine = client.io.engine;
  if (engine.transport.name !== "websocket") await once(engine, "upgrade");
}

/** The list of `[event, ...args]` that a client or socket hears from now on. */
function record(emitter) {
  const heard = [];
  emitter.onAny((...args) => heard.push(args));
  return heard;
}

/**
 * Returns when everything that the server sent to these clients before has arrived: each asks the server, whose answer
 * comes behind it.
 */
function barrier(...clients) {
  return Promise.all(clients.map((client) => client.timeout(10000).emitWithAck("barrier")));
}

module.exports = { POLLING, WEBSOCKET, UPGRADE, open, closed, connected, join, upgraded, record, barrier };
