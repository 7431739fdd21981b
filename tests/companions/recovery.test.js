"use strict";

/** Connection state recovery by @socket.io/redis-streams-adapter, on another server than the one that was left. */

const { createAdapter } = require("@socket.io/redis-streams-adapter");
const { connected, record } = require("../node/support/client");
const { eventually, once } = require("../node/support/wait");
const { isOfficial, underTest } = require("./support/module");
const { acquainted, deserted, startNodes } = require("./support/nodes");
const { closeConnection, startRedis } = require("./support/redis");

const BYTES = Buffer.from([0, 1, 254, 255]);

const PAIRS = isOfficial
  ? [["socket.io", "socket.io"]]
  : [
      [underTest, underTest],
      ["socket.io", underTest],
      [underTest, "socket.io"],
    ];
const nameOf = (module) => (module === "socket.io" ? module : "the server under test");

let server;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

const makeAdapter = async () => {
  const connection = await server.open.redis();
  return {
    adapter: createAdapter(connection, { blockTimeInMs: 200 }),
    release: () => closeConnection(connection),
  };
};

describe.each(PAIRS.map((pair) => [...pair.map(nameOf), pair]))("from %s to %s", (_from, _to, modules) => {
  let nodes = [];
  beforeAll(async () => {
    nodes = await startNodes(makeAdapter, { modules, options: { connectionStateRecovery: {} } });
  });
  afterAll(async () => {
    for (const node of nodes) await node.close();
  });
  let areAcquainted = false;
  beforeEach(async () => {
    if (!areAcquainted) await acquainted(nodes);
    areAcquainted = true;
    await deserted(nodes);
  });

  /** A client of the first node that has heard an event, after which it can ask for those that it misses. */
  async function meet() {
    const client = await nodes[0].connect();
    await nodes[0].run((io, id) => {
      const socket = io.of("/").sockets.get(id);
      socket.join(["news", "quiet"]);
      socket.data.user = { name: "Ada" };
    }, client.id);
    const first = once(client, "first");
    await nodes[0].run((io) => void io.emit("first"));
    await first;
    return client;
  }

  /** Cuts the client's connection, and waits until its node has seen that. */
  async function lose(client) {
    const gone = once(client, "disconnect");
    client.io.engine.close();
    await gone;
    await deserted(nodes);
  }

  /** Connects the client to the second node. */
  async function move(client) {
    client.io.uri = nodes[1].url;
    client.connect();
    await connected(client);
  }

  test("a client gets back its id, rooms and data, and what it has missed", async () => {
    const client = await meet();
    const { id } = client;
    await lose(client);
    const other = await nodes[1].connect();
    const arrived = once(other, "missed by all");
    await nodes[0].run((io, bytes) => {
      io.to("news").emit("missed", 1, { bytes });
      io.to("elsewhere").emit("not for it");
      io.except("quiet").emit("not for it either");
      io.emit("missed by all");
    }, BYTES);
    await arrived;

    const heard = record(client);
    await move(client);
    await eventually(() => heard.length === 2);

    expect(client.recovered).toBe(true);
    expect(client.id).toBe(id);
    expect(heard.map(([event, ...args]) => [event, ...args.slice(0, event === "missed" ? 2 : 0)])).toEqual([
      ["missed", 1, { bytes: BYTES }],
      ["missed by all"],
    ]);
    const there = await nodes[1].run((io, own) => {
      const socket = io.of("/").sockets.get(own);
      return { rooms: [...socket.rooms].sort(), data: socket.data, recovered: socket.recovered };
    }, id);
    expect(there).toEqual({
      rooms: [id, "news", "quiet"].sort(),
      data: { user: { name: "Ada" } },
      recovered: true,
    });
    const next = once(client, "next");
    await nodes[0].run((io) => void io.to("news").emit("next"));
    await next;
  });

  test("a client that left by itself starts anew", async () => {
    const client = await meet();
    const { id } = client;
    client.disconnect();
    await deserted(nodes);
    await move(client);

    expect(client.recovered).toBe(false);
    expect(client.id).not.toBe(id);
  });

  test("a session is given back once", async () => {
    const client = await meet();
    await lose(client);
    const { _pid: pid, _lastOffset: offset } = client;
    await move(client);
    expect(client.recovered).toBe(true);

    const thief = await nodes[1].connect("/", { auth: { pid, offset } });

    expect(thief.recovered).toBe(false);
    expect(thief.id).not.toBe(client.id);
  });

  test("an offset or session that nobody knows is no way in", async () => {
    for (const auth of [
      { pid: "unknown", offset: "1-1" },
      { pid: "unknown", offset: "nonsense" },
    ]) {
      const client = await nodes[1].connect("/", { auth });
      expect(client.recovered).toBe(false);
    }
  });
});
