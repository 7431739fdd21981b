"use strict";

const { createAdapter } = require("@socket.io/redis-adapter");
const notepack = require("notepack.io");
const { record } = require("../node/support/client");
const { eventually, once } = require("../node/support/wait");
const { describeCluster } = require("./support/cluster-scenarios");
const { isOfficial, MIXED, underTest } = require("./support/module");
const { acquainted, reaching, startNodes } = require("./support/nodes");
const { makeFolder } = require("./support/processes");
const { closeConnection, startRedis } = require("./support/redis");

let server;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

/** An adapter on two connections of the client package of this name. */
const withClient = (name) => async () => {
  const connections = [await server.open[name](), await server.open[name]()];
  return {
    adapter: createAdapter(...connections, { requestsTimeout: 3000 }),
    release: () => Promise.all(connections.map(closeConnection)),
  };
};

describeCluster("a cluster by @socket.io/redis-adapter with redis", () => startNodes(withClient("redis")));
describeCluster("a cluster by @socket.io/redis-adapter with ioredis", () =>
  startNodes(withClient("ioredis")),
);
if (!isOfficial) {
  describeCluster("a cluster of both servers by @socket.io/redis-adapter", () =>
    startNodes(withClient("redis"), { modules: MIXED }),
  );
}

describe("what others publish", () => {
  let nodes;
  let publisher;
  beforeEach(async () => {
    nodes = await startNodes(withClient("redis"), { modules: [underTest, underTest] });
    publisher = await server.open.redis();
    await acquainted(nodes);
  });
  afterEach(async () => {
    for (const node of nodes) await node.close();
    await closeConnection(publisher);
  });

  /** Publishes as the emitters of other languages do. */
  const publish = (packet, options, room = "") =>
    publisher.publish(`socket.io#/#${room}`, notepack.encode(["elsewhere", packet, options]));

  test("reaches clients in whatever form the emitters of other languages give it", async () => {
    const client = await nodes[0].connect();
    const heard = record(client);
    nodes[0].io.of("/").sockets.get(client.id).join("7");
    const bytes = Buffer.from([1, 2]);
    await publish({ type: 2, data: ["no namespace"] }, { rooms: [], except: [], flags: {} });
    await publish(
      { type: 2, data: ["binary", bytes], nsp: "/" },
      { rooms: ["7"], except: [], flags: {} },
      "7#",
    );
    await publish({ type: 2, data: ["no flags", null, 1.5], nsp: "/" }, { rooms: ["7"] }, "7#");
    await publish({ type: 2, data: ["elsewhere"], nsp: "/other" }, { rooms: [] });
    await publish({ type: 2, data: ["to nobody"], nsp: "/" }, { rooms: ["8"] });
    await publish({ type: 2, data: ["last"], nsp: "/" }, { rooms: [] });
    await eventually(() => heard.some(([event]) => event === "last"));

    expect(heard).toEqual([["no namespace"], ["binary", bytes], ["no flags", null, 1.5], ["last"]]);
  });
});

test("clients of one node are served while Redis is away, and all when it is back", async () => {
  const folder = makeFolder();
  let own = await startRedis({ folder });
  const makeAdapter = async () => {
    const connections = [await own.open.ioredis(), await own.open.ioredis()];
    return {
      adapter: createAdapter(...connections),
      release: () => connections.forEach((connection) => connection.disconnect()),
    };
  };
  const nodes = await startNodes(makeAdapter, { modules: [underTest, underTest] });
  try {
    await acquainted(nodes);
    const clients = [await nodes[0].connect(), await nodes[1].connect()];
    await own.stop({ keepFolder: true });
    const arrived = once(clients[0], "meanwhile");
    nodes[0].io.emit("meanwhile");
    await arrived;
    const joined = await nodes[1].connect();
    nodes[1].io.of("/").sockets.get(joined.id).join("room");

    own = await startRedis({ folder });
    await reaching(nodes, [...clients, joined], (io, probe) => io.emit("probe", probe));
    const told = once(joined, "to the room");
    nodes[0].io.to("room").emit("to the room");
    await told;
  } finally {
    for (const node of nodes) await node.close();
    await own.stop();
  }
});
