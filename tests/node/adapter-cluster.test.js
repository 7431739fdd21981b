"use strict";

const { EventEmitter } = require("node:events");
const { ClusterAdapter, ClusterAdapterWithHeartbeat } = require("socket.io-adapter");
const msgpack = require("notepack.io");
const {
  POLLING,
  afterThisTest,
  barrier,
  deferred,
  eventually,
  once,
  record,
  startServer,
} = require("./support");

/** Copies a message as a broker would: what is binary stays so. */
const copy = (message) => msgpack.decode(msgpack.encode(message));

/** A cluster in one process, whose nodes hear of each other by `bus`. */
function cluster(Base, { delay = () => Promise.resolve(), adapterOptions } = {}) {
  const bus = new EventEmitter().setMaxListeners(0);
  let offset = 0;
  class BusAdapter extends Base {
    constructor(nsp) {
      super(nsp, adapterOptions);
      this.hear = (message, at) => this.onMessage(copy(message), at);
      this.hearResponse = (uid, response) => {
        if (uid === this.uid) this.onResponse(copy(response));
      };
      bus.on("message", this.hear);
      bus.on("response", this.hearResponse);
    }
    async doPublish(message) {
      await delay();
      offset += 1;
      bus.emit("message", message, `${offset}`);
      return `${offset}`;
    }
    async doPublishResponse(uid, response) {
      await delay();
      bus.emit("response", uid, response);
    }
    serverCount() {
      return Base === ClusterAdapter ? Promise.resolve(bus.listenerCount("message")) : super.serverCount();
    }
    close() {
      super.close();
      bus.off("message", this.hear);
      bus.off("response", this.hearResponse);
    }
  }
  return { BusAdapter, bus };
}

/** Three servers with a client each. */
async function startNodes(adapter, options = {}) {
  const nodes = [];
  for (let i = 0; i < 3; i += 1) {
    const server = await startServer({ adapter, ...options });
    const pair = await server.pair("/", i === 2 ? POLLING : {});
    nodes.push({ server, io: server.io, ...pair, heard: record(pair.client) });
  }
  return nodes;
}

const clientsOf = (nodes) => nodes.map(({ client }) => client);

describe.each([
  ["ClusterAdapter", ClusterAdapter],
  ["ClusterAdapterWithHeartbeat", ClusterAdapterWithHeartbeat],
])("nodes of a cluster by %s", (_name, Base) => {
  let nodes;

  async function start(options) {
    const { BusAdapter } = cluster(Base, options);
    nodes = await startNodes(BusAdapter);
    // Heartbeats tell how many there are.
    await eventually(async () => {
      const counts = await Promise.all(nodes.map(({ io }) => io.of("/").adapter.serverCount()));
      return counts.every((count) => count === 3);
    });
  }

  test("a broadcast reaches the clients of all, text and bytes", async () => {
    await start();
    nodes[0].io.emit("a", 1, { bytes: Buffer.from([1, 2]) }, "ü");
    for (const { heard } of nodes) {
      await eventually(() => heard.length === 1);
      expect(heard).toEqual([["a", 1, { bytes: Buffer.from([1, 2]) }, "ü"]]);
    }
  });

  test("rooms, exceptions and local", async () => {
    await start();
    nodes[1].socket.join("room");
    nodes[2].socket.join(["room", "other"]);
    nodes[0].io.to("room").emit("to room");
    nodes[0].io.to("room").except("other").emit("except other");
    nodes[0].io.local.emit("local");
    nodes[0].socket.broadcast.emit("not to itself");
    await eventually(() => nodes[1].heard.length === 3 && nodes[2].heard.length === 2);
    await barrier(...clientsOf(nodes));
    expect(nodes[0].heard).toEqual([["local"]]);
    expect(nodes[1].heard).toEqual([["to room"], ["except other"], ["not to itself"]]);
    expect(nodes[2].heard).toEqual([["to room"], ["not to itself"]]);
  });

  test("events keep their order, however slow the others are to reach", async () => {
    let pending = Promise.resolve();
    await start({
      delay: () => {
        pending = pending.then(() => new Promise(setImmediate));
        return pending;
      },
    });
    for (let i = 0; i < 50; i += 1) nodes[i % 2].io.emit(`n${i % 2}`, i);
    for (const { heard } of nodes) {
      await eventually(() => heard.length === 50);
      for (const parity of [0, 1]) {
        const own = heard.filter(([name]) => name === `n${parity}`).map(([, i]) => i);
        expect(own).toEqual([...own].sort((a, b) => a - b));
      }
    }
  });

  test("acks of the clients of all nodes come together", async () => {
    await start();
    nodes.forEach(({ client }, i) =>
      client.on("ask", (x, answer) => answer({ i, x, bytes: Buffer.from([i]) })),
    );
    const answers = await nodes[0].io.timeout(5000).emitWithAck("ask", "q");
    expect(answers.sort((a, b) => a.i - b.i)).toEqual(
      [0, 1, 2].map((i) => ({ i, x: "q", bytes: Buffer.from([i]) })),
    );
    nodes[1].client.off("ask");
    const error = await nodes[2].io
      .timeout(2000)
      .emitWithAck("ask", "q")
      .catch((caught) => caught);
    expect(error.message).toBe("operation has timed out");
    expect(error.responses.map(({ i }) => i).sort()).toEqual([0, 2]);
  });

  test("sockets of other nodes are fetched and worked with", async () => {
    await start();
    nodes[1].socket.data.name = "one";
    nodes[1].socket.join("room");
    const sockets = await nodes[0].io.fetchSockets();
    expect(sockets.map(({ id }) => id).sort()).toEqual(nodes.map(({ socket }) => socket.id).sort());
    const remote = sockets.find(({ id }) => id === nodes[1].socket.id);
    expect(remote.rooms).toEqual(new Set([remote.id, "room"]));
    expect(remote.data).toEqual({ name: "one" });
    expect(remote.handshake).toMatchObject({ auth: {}, query: { transport: "websocket" } });
    remote.emit("hello", 1);
    await eventually(() => nodes[1].heard.length === 1);
    expect(nodes[1].heard).toEqual([["hello", 1]]);
    nodes[1].client.on("ask", (answer) => answer("yes"));
    const answer = new Promise((resolve) => remote.timeout(5000).emit("ask", (...args) => resolve(args)));
    expect(await answer).toEqual([null, "yes"]);
    remote.join("more");
    await eventually(() => nodes[1].socket.rooms.has("more"));
    remote.leave("more");
    await eventually(() => !nodes[1].socket.rooms.has("more"));
    const gone = once(nodes[1].client, "disconnect");
    remote.disconnect(true);
    await gone;
  });

  test("sockets of all nodes join, leave and are disconnected together", async () => {
    await start();
    nodes[0].io.socketsJoin("room");
    await eventually(() => nodes.every(({ socket }) => socket.rooms.has("room")));
    nodes[1].io.in("room").except(nodes[2].socket.id).socketsLeave("room");
    await eventually(() => nodes.filter(({ socket }) => socket.rooms.has("room")).length === 1);
    const gone = nodes.map(({ client }) => once(client, "disconnect"));
    nodes[2].io.disconnectSockets();
    await Promise.all(gone);
  });

  test("servers talk to each other, and answer", async () => {
    await start();
    const heard = [];
    nodes.forEach(({ io }, i) => io.on("hello", (...args) => heard.push([i, ...args])));
    nodes[0].io.serverSideEmit("hello", 1, "two");
    await eventually(() => heard.length === 2);
    expect(heard.sort()).toEqual([
      [1, 1, "two"],
      [2, 1, "two"],
    ]);
    nodes.forEach(({ io }, i) => io.on("ask", (answer) => answer(i)));
    expect((await nodes[1].io.serverSideEmitWithAck("ask")).sort()).toEqual([0, 2]);
  });

  test("a node that closes is not counted any more", async () => {
    await start();
    await nodes[2].server.close();
    await eventually(async () => (await nodes[0].io.of("/").adapter.serverCount()) === 2);
    nodes.slice(0, 2).forEach(({ client }, i) => client.on("ask", (answer) => answer(i)));
    expect((await nodes[0].io.timeout(5000).emitWithAck("ask")).sort()).toEqual([0, 1]);
  });
});

describe("a cluster whose broker", () => {
  test("is away still serves the clients of its own node", async () => {
    const { BusAdapter } = cluster(ClusterAdapter, { delay: () => Promise.reject(new Error("away")) });
    const [node] = await startNodes(BusAdapter);
    node.io.emit("a", 1);
    await eventually(() => node.heard.length === 1);
    expect(node.heard).toEqual([["a", 1]]);
  });

  test("is slow holds nothing up but what it carries", async () => {
    const held = deferred();
    afterThisTest(() => held.resolve());
    const { BusAdapter } = cluster(ClusterAdapter, { delay: () => held.promise });
    const [node] = await startNodes(BusAdapter);
    node.io.emit("by the broker");
    node.socket.emit("directly");
    await eventually(() => node.heard.length === 1);
    expect(node.heard).toEqual([["directly"]]);
    held.resolve();
    await eventually(() => node.heard.length === 2);
  });
});
