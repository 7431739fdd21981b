"use strict";

const parser = require("socket.io-msgpack-parser");
const {
  POLLING,
  WEBSOCKET,
  barrier,
  connected,
  join,
  once,
  openWebSocket,
  record,
  startServer,
} = require("./support");

const TRANSPORTS = [
  { ...WEBSOCKET, parser },
  { ...POLLING, parser },
];

const BYTES = Buffer.from(Array.from({ length: 256 }, (_, n) => n));

async function sendUp({ client, socket }, ...args) {
  const heard = once(socket, "up");
  client.emit("up", ...args);
  return heard;
}

async function sendDown({ client, socket }, ...args) {
  const heard = once(client, "down");
  socket.emit("down", ...args);
  return heard;
}

describe("msgpack", () => {
  test("a client with the MessagePack parser sends and receives events and acks", async () => {
    const server = await startServer({ parser });
    server.watch("/chat");
    for (const transport of TRANSPORTS) {
      const main = await server.pair("/", { ...transport, auth: { token: "ключ" } });
      expect(main.socket.handshake.auth).toEqual({ token: "ключ" });
      const chat = await join(main.client, "/chat");
      for (const { client, socket } of [main, { client: chat, socket: await server.socketOf(chat) }]) {
        socket.on("ask", (value, answer) => answer("server", value));
        client.on("ask", (value, answer) => answer(["client", value]));
        const answer = await new Promise((resolve) => client.emit("ask", 1, (...args) => resolve(args)));
        expect(answer).toEqual(["server", 1]);
        expect(await socket.timeout(10000).emitWithAck("ask", 2)).toEqual(["client", 2]);
      }
    }
  });

  test("bytes travel without attachments", async () => {
    const server = await startServer({ parser });
    for (const transport of TRANSPORTS) {
      const pair = await server.pair("/", transport);
      // More than the text parser allows attachments.
      const sent = [
        { bytes: BYTES },
        Array.from({ length: 20 }, (_, n) => Buffer.from(`part ${n}`)),
        Buffer.alloc(0),
      ];
      expect(await sendUp(pair, ...sent)).toStrictEqual(sent);
      expect(await sendDown(pair, ...sent)).toStrictEqual(sent);
    }
  });

  test("every kind of value survives the MessagePack parser", async () => {
    const server = await startServer({ parser });
    const pair = await server.pair("/", TRANSPORTS[0]);
    const sent = [
      ...[
        0,
        1,
        -1,
        127,
        128,
        -32,
        -33,
        255,
        256,
        65535,
        65536,
        -32769,
        4294967295,
        4294967296,
        2 ** 53 - 1,
        -(2 ** 53) + 1,
      ],
      ...[
        0.1,
        -1.5,
        1.5e-300,
        true,
        false,
        null,
        "",
        "x".repeat(31),
        "x".repeat(32),
        "x".repeat(256),
        "ü".repeat(40000),
      ],
      ...[
        [],
        {},
        Array.from({ length: 20 }, (_, n) => n),
        { a: { b: [{ c: null }] } },
        { "": 1, ключ: "\u{1f600}" },
      ],
      Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`key ${n}`, n])),
    ];
    expect(await sendUp(pair, ...sent)).toStrictEqual(sent);
    expect(await sendDown(pair, ...sent)).toStrictEqual(sent);
  });

  test("clients with the MessagePack parser share rooms and broadcasts", async () => {
    const server = await startServer({ parser });
    const pairs = await Promise.all(TRANSPORTS.map((transport) => server.pair("/", transport)));
    const heard = pairs.map(({ client }) => record(client));
    pairs[1].socket.join("room");
    server.io.emit("all", BYTES, { n: 1 });
    server.io.to("room").emit("room");
    pairs[1].socket.broadcast.emit("others", [null]);
    await barrier(...pairs.map(({ client }) => client));
    const all = ["all", BYTES, { n: 1 }];
    expect(heard).toStrictEqual([
      [all, ["others", [null]]],
      [all, ["room"]],
    ]);
    for (const { client } of pairs) client.on("ask", (answer) => answer(BYTES));
    expect(await server.io.timeout(10000).emitWithAck("ask")).toStrictEqual([BYTES, BYTES]);
  });

  test("a client with the MessagePack parser is told why it was refused", async () => {
    const server = await startServer({ parser });
    server
      .watch("/guarded")
      .use((_socket, next) => next(Object.assign(new Error("no"), { data: { code: 1 } })));
    const refused = server.client("/guarded", TRANSPORTS[0]);
    const [error] = await once(refused, "connect_error");
    expect([error.message, error.data]).toEqual(["no", { code: 1 }]);
    const nowhere = server.client("/nowhere", TRANSPORTS[0]);
    expect((await once(nowhere, "connect_error"))[0].message).toBe("Invalid namespace");
  });

  test("text packets and broken MessagePack close only their sender", async () => {
    const server = await startServer({ parser });
    const client = server.client("/", TRANSPORTS[0]);
    await connected(client);
    const map = new parser.Encoder();
    const broken = [
      '42["event"]',
      Buffer.from([0xc1]),
      Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0x81, 0xa4]),
      map.encode({ type: 2, nsp: "/", data: "no list" })[0],
      map.encode({ type: 2, nsp: 1, data: ["event"] })[0],
      map.encode({ type: 9, nsp: "/", data: ["event"] })[0],
    ];
    for (const packet of broken) {
      const peer = await openWebSocket(server, { join: false });
      peer.send(map.encode({ type: 0, nsp: "/" })[0]);
      await peer.next();
      peer.send(packet);
      await peer.closeCode();
    }
    await barrier(client);
  });
});
