"use strict";

/** Workers behind the port of their primary, which has to send each session's requests to the worker that has it. */

const cluster = require("node:cluster");
const http = require("node:http");
const { setupPrimary } = require("@socket.io/cluster-adapter");
const sticky = require("@socket.io/sticky");
const clients = require("../node/support/client");
const { eventually, once } = require("../node/support/wait");
const { acquainted } = require("./support/nodes");
const { startWorker } = require("./support/workers");

const TRANSPORTS = {
  polling: clients.POLLING,
  websocket: clients.WEBSOCKET,
  upgrade: clients.UPGRADE,
};
const BYTES = Buffer.alloc(200_000, 7);

let httpServer;
let url;
let nodes = [];

beforeAll(async () => {
  httpServer = http.createServer();
  sticky.setupPrimary(httpServer, { loadBalancingMethod: "least-connection" });
  setupPrimary();
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${httpServer.address().port}`;
  nodes = await Promise.all([1, 2, 3].map(() => startWorker({ sticky: true })));
  for (const node of nodes) {
    node.url = url;
    await node.run((io) => {
      io.on("connection", (socket) => {
        socket.on("echo", (value, answer) => answer(value));
      });
    });
  }
});

afterAll(async () => {
  for (const node of nodes) await node.kill();
  // Nobody waits: a connection that was on its way to a worker as that died is never told of its end.
  httpServer.close();
});

async function connect(options) {
  const client = clients.open(url, "/", options);
  await clients.connected(client);
  return client;
}

/** How many sessions the primary knows of, by worker. */
const known = () => Object.values(cluster.workers).map((worker) => worker.clientsCount || 0);
const sum = (counts) => counts.reduce((total, count) => total + count, 0);

afterEach(() => eventually(() => sum(known()) === 0));

describe.each(Object.entries(TRANSPORTS))("by %s", (name, options) => {
  test("each client stays with its worker, and the workers share them", async () => {
    const connected = [];
    for (let n = 0; n < 6; n += 1) {
      connected.push(await connect(options));
      await eventually(() => sum(known()) === n + 1);
    }

    expect(known()).toEqual([2, 2, 2]);
    for (const client of connected) {
      if (name === "upgrade") await clients.upgraded(client);
      expect(await client.timeout(10_000).emitWithAck("echo", "small")).toBe("small");
      const { bytes } = await client.timeout(10_000).emitWithAck("echo", { bytes: BYTES });
      expect(BYTES.equals(bytes)).toBe(true);
    }
  });

  test("a broadcast of one worker reaches the clients of all", async () => {
    await acquainted([nodes[0], nodes[1], nodes[2]]);
    const connected = [];
    for (let n = 0; n < 3; n += 1) {
      connected.push(await connect(options));
      await eventually(() => sum(known()) === n + 1);
    }
    expect(known()).toEqual([1, 1, 1]);
    const arrived = connected.map((client) => once(client, "news"));
    await nodes[0].run((io) => void io.emit("news", 1));
    expect(await Promise.all(arrived)).toEqual([[1], [1], [1]]);
  });
});

test("clients of a worker that dies find another one", async () => {
  const client = await connect({ ...clients.WEBSOCKET, reconnection: true, reconnectionDelay: 10 });
  await eventually(() => sum(known()) === 1);
  const owner = nodes.find((node) => node.worker.clientsCount === 1);
  const again = once(client, "connect");
  await owner.kill();
  nodes = nodes.filter((node) => node !== owner);
  await again;

  expect(await client.timeout(10_000).emitWithAck("echo", 1)).toBe(1);
});
