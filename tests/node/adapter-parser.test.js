"use strict";

/** Adapters of other packages with every parser, and with clients of Socket.IO 2. */

const { EventEmitter } = require("node:events");
const notepack = require("notepack.io");
const msgpackParser = require("socket.io-msgpack-parser");
const { Adapter, SessionAwareAdapter } = require("socket.io-adapter");
const connectOlder = require("socket.io-client-v2");
const {
  POLLING,
  WEBSOCKET,
  afterThisTest,
  barrier,
  connected,
  eventually,
  once,
  record,
  startServer,
} = require("./support");
const { OwnAdapter } = require("./support/own-adapter");

/** A parser of the application's own. */
const ownParser = {
  Encoder: class {
    encode({ type, nsp, data, id }) {
      return [notepack.encode({ type, nsp, data: data ?? null, id: id ?? null })];
    }
  },
  Decoder: class extends EventEmitter {
    add(message) {
      const { data, id, ...packet } = notepack.decode(message);
      if (data !== null) packet.data = data;
      if (id !== null) packet.id = id;
      this.emit("decoded", packet);
    }
    destroy() {}
  },
};

describe.each([
  ["socket.io-msgpack-parser", msgpackParser],
  ["a parser of the application's own", ownParser],
])("adapters with %s", (_name, parser) => {
  test.each([
    ["derived from npm's", Adapter],
    ["of their own", OwnAdapter],
  ])("%s send events and gather acks", async (_kind, adapter) => {
    const server = await startServer({ parser, adapter });
    const pairs = [
      await server.pair("/", { parser, ...WEBSOCKET }),
      await server.pair("/", { parser, ...POLLING }),
    ];
    const clients = pairs.map(({ client }) => client);
    const heard = clients.map(record);
    pairs[0].socket.join("room");
    server.io.to("room").emit("one", { bytes: Buffer.from([1]) }, "ü");
    server.io.emit("two");
    await barrier(...clients);
    expect(heard[0]).toEqual([["one", { bytes: Buffer.from([1]) }, "ü"], ["two"]]);
    expect(heard[1]).toEqual([["two"]]);
    clients.forEach((client, i) => client.on("ask", (x, answer) => answer(x + i, Buffer.from([i]))));
    for (let n = 0; n < 3; n += 1) {
      const answers = await server.io.timeout(5000).emitWithAck("ask", n);
      expect(answers.sort()).toEqual([n, n + 1]);
      expect(await pairs[1].socket.timeout(5000).emitWithAck("ask", n)).toBe(n + 1);
    }
    clients[0].off("ask");
    const error = await server.io
      .timeout(2000)
      .emitWithAck("ask", 5)
      .catch((caught) => caught);
    expect([error.message, error.responses]).toEqual(["operation has timed out", [6]]);
  });

  test("keep sessions", async () => {
    const server = await startServer({ parser, adapter: SessionAwareAdapter, connectionStateRecovery: {} });
    const { client, socket } = await server.pair("/", { parser });
    client.on("ask", (x, answer) => answer(x + 1));
    expect(await socket.emitWithAck("ask", 1)).toBe(2);
    expect(await socket.timeout(5000).emitWithAck("ask", 2)).toBe(3);
    const first = once(client, "first");
    socket.emit("first");
    await first;
    socket.join("room");
    const heard = record(client);
    const gone = once(socket, "disconnect");
    client.io.engine.close();
    await gone;
    server.io.to("room").emit("missed", Buffer.from([1]));
    client.connect();
    await connected(client);
    expect(client.recovered).toBe(true);
    expect(client.id).toBe(socket.id);
    const again = await eventually(
      () => server.sockets.get(client.id) !== socket && server.sockets.get(client.id),
    );
    expect([...again.rooms].sort()).toEqual([socket.id, "room"].sort());
    await eventually(() => heard.length === 1);
    expect(heard[0].slice(0, 2)).toEqual(["missed", Buffer.from([1])]);
  });
});

test.each([
  ["derived from npm's", Adapter],
  ["of its own", OwnAdapter],
])("an adapter %s reaches clients of Socket.IO 2", async (_kind, adapter) => {
  const server = await startServer({ adapter, allowEIO3: true });
  const connection = once(server.io, "connection");
  const client = connectOlder(server.url, { forceNew: true, ...WEBSOCKET });
  afterThisTest(() => client.close());
  const [socket] = await connection;
  socket.join("room");
  const heard = once(client, "event");
  server.io.to("room").emit("event", "text", Buffer.from([1]));
  expect(await heard).toEqual(["text", Buffer.from([1])]);
  client.on("ask", (answer) => answer("yes"));
  expect(await server.io.timeout(5000).emitWithAck("ask")).toEqual(["yes"]);
});
