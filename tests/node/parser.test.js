"use strict";

/** Parsers of the application's own. */

const { execFile } = require("node:child_process");
const { EventEmitter } = require("node:events");
const path = require("node:path");
const officialParser = require("socket.io-parser");
const notepack = require("notepack.io");
const {
  POLLING,
  WEBSOCKET,
  barrier,
  connected,
  eventually,
  ferrioOnly,
  join,
  once,
  openPolling,
  openWebSocket,
  record,
  startServer,
  underTest,
  within,
} = require("./support");

const CONNECT = 0;
const DISCONNECT = 1;
const EVENT = 2;
const CONNECT_ERROR = 4;

/** A parser that writes each packet as one message. */
function parserOf(write, read) {
  class Encoder {
    encode(packet) {
      return [write(packet)];
    }
  }
  class Decoder extends EventEmitter {
    static open = new Set();

    constructor() {
      super();
      Decoder.open.add(this);
    }

    add(message) {
      const packet = read(message);
      if (typeof packet?.nsp !== "string") throw new Error("this is no packet");
      this.emit("decoded", packet);
    }

    destroy() {
      Decoder.open.delete(this);
    }
  }
  return { Encoder, Decoder };
}

const json = () => parserOf(JSON.stringify, JSON.parse);

const binary = () =>
  parserOf(
    ({ type, nsp, data, id }) => notepack.encode({ type, nsp, data: data ?? null, id: id ?? null }),
    (message) => {
      const { data, id, ...packet } = notepack.decode(message);
      if (data !== null) packet.data = data;
      if (id !== null) packet.id = id;
      return packet;
    },
  );

/** Writes packets as several messages: what it is, then each argument, texts as texts and bytes as bytes. */
const inPieces = () => {
  class Encoder {
    encode({ data, ...head }) {
      const list = Array.isArray(data) ? data : undefined;
      const messages = list ?? (data === undefined ? [] : [data]);
      const shown = messages.map((one) => (Buffer.isBuffer(one) ? one : JSON.stringify(one)));
      return [JSON.stringify({ ...head, isList: list !== undefined, n: shown.length }), ...shown];
    }
  }
  class Decoder extends EventEmitter {
    add(message) {
      if (this.head === undefined) {
        this.head = JSON.parse(message);
        this.parts = [];
      } else {
        this.parts.push(typeof message === "string" ? JSON.parse(message) : Buffer.from(message));
      }
      if (this.parts.length < this.head.n) return;
      const { isList, n, ...packet } = this.head;
      this.head = undefined;
      this.emit(
        "decoded",
        isList || n > 0 ? { ...packet, data: isList ? this.parts : this.parts[0] } : packet,
      );
    }

    destroy() {}
  }
  return { Encoder, Decoder };
};

/** Makes nothing of packets and messages: only the engine is left. */
const silent = () => ({
  Encoder: class {
    encode() {
      return [];
    }
  },
  Decoder: class extends EventEmitter {
    add() {}
    destroy() {}
  },
});

const PARSERS = [
  ["JSON", json],
  ["bytes", binary],
  ["pieces", inPieces],
];

const cases = PARSERS.flatMap(([name, make]) => [
  [name, "WebSocket", make, WEBSOCKET],
  [name, "polling", make, POLLING],
]);

/** Waits until nothing is held for clients. */
function nothingIsHeld({ io }) {
  if (io._held === undefined) return undefined;
  return eventually(() => {
    const { namespaces, coreNamespaces, ...ofClients } = io._held();
    expect(Object.entries(ofClients).filter(([, n]) => n !== 0)).toEqual([]);
    return true;
  });
}

/** A WebSocket that speaks JSON packets. */
async function openJsonSession(server, options) {
  const peer = await openWebSocket(server, { join: false, ...options });
  return {
    peer,
    say: (packet) => peer.send(`4${JSON.stringify({ nsp: "/", ...packet })}`),
    next: async () => JSON.parse((await peer.next()).slice(1)),
  };
}

/** The same, connected to the main namespace. */
async function openJson(server) {
  const session = await openJsonSession(server);
  session.say({ type: CONNECT });
  const { type, data } = await session.next();
  expect(type).toBe(CONNECT);
  return { ...session, id: data.sid };
}

describe.each(cases)("a parser of one's own: %s over %s", (_name, _over, make, over) => {
  const start = async (options) => {
    const parser = make();
    const server = await startServer({ parser, ...options });
    return { parser, server, transport: { ...over, parser: make() } };
  };

  test("events and acks go both ways in order", async () => {
    const { server, transport } = await start();
    const { client, socket } = await server.pair("/", { ...transport, auth: { token: "ключ" } });
    expect(socket.handshake.auth).toEqual({ token: "ключ" });
    const heard = [];
    socket.on("n", (n) => heard.push(n));
    socket.on("ask", (value, answer) => answer("server", value));
    client.on("ask", (value, answer) => answer("client", value));
    for (let n = 0; n < 100; n += 1) client.emit("n", n);
    const answered = await new Promise((resolve) =>
      client.emit("ask", { a: [1] }, (...args) => resolve(args)),
    );
    expect(answered).toEqual(["server", { a: [1] }]);
    expect(heard).toEqual(Array.from({ length: 100 }, (_, n) => n));
    const down = record(client);
    for (let n = 0; n < 100; n += 1) socket.emit("n", n);
    expect(await new Promise((resolve) => socket.emit("ask", "ü", (...args) => resolve(args)))).toEqual([
      "client",
      "ü",
    ]);
    expect(down.slice(0, 100)).toEqual(heard.map((n) => ["n", n]));
  });

  test("an ack that does not come in time is an error", async () => {
    const { server, transport } = await start();
    const { client, socket } = await server.pair("/", transport);
    client.on("ask", () => {});
    await expect(socket.timeout(20).emitWithAck("ask")).rejects.toThrow("operation has timed out");
    await expect(server.io.timeout(20).emitWithAck("ask")).rejects.toMatchObject({ responses: [] });
    client.close();
    await nothingIsHeld(server);
  });

  test("namespaces, rooms and broadcasts are those of others", async () => {
    const { server, transport } = await start();
    server.watch("/chat");
    const pairs = await Promise.all([1, 2, 3].map(() => server.pair("/", transport)));
    const chat = await join(pairs[0].client, "/chat");
    const heard = [...pairs.map(({ client }) => record(client)), record(chat)];
    pairs[1].socket.join("room");
    server.io.emit("all", { n: 1 });
    server.io.to("room").emit("room");
    pairs[2].socket.broadcast.emit("others", "ü");
    server.io.of("/chat").emit("chat", [null]);
    await barrier(...pairs.map(({ client }) => client), chat);
    const [all, room, others] = [["all", { n: 1 }], ["room"], ["others", "ü"]];
    expect(heard).toEqual([[all, others], [all, room, others], [all], [["chat", [null]]]]);
    for (const [n, { client }] of pairs.entries()) client.on("ask", (answer) => answer(n));
    const answers = await server.io.timeout(10000).emitWithAck("ask");
    expect(answers.sort()).toEqual([0, 1, 2]);
    for (const { client } of pairs) client.io._close();
    await nothingIsHeld(server);
  });

  test("a client is told why it may not connect", async () => {
    const { server, transport } = await start();
    server
      .watch("/guarded")
      .use((_socket, next) => next(Object.assign(new Error("no"), { data: { code: 1 } })));
    const refused = server.client("/guarded", transport);
    const [error] = await once(refused, "connect_error");
    expect([error.message, error.data]).toEqual(["no", { code: 1 }]);
    const nowhere = server.client("/nowhere", transport);
    expect((await once(nowhere, "connect_error"))[0].message).toBe("Invalid namespace");
    const client = await server.connect("/", transport);
    await expect(join(client, "/nowhere")).rejects.toThrow("Invalid namespace");
    await barrier(client);
    for (const one of [refused, nowhere, client]) one.io._close();
    await nothingIsHeld(server);
  });

  test("dynamic namespaces see what a client sends along", async () => {
    const { server, transport } = await start({ cleanupEmptyChildNamespaces: true });
    const asked = [];
    server.io.of((name, auth, next) => {
      asked.push([name, auth]);
      next(null, name === "/one");
    });
    const client = await server.connect("/one", { ...transport, auth: { token: 1 } });
    expect(asked).toEqual([["/one", { token: 1 }]]);
    const id = client.id;
    expect(
      (await server.io.of("/one").fetchSockets()).map((socket) => [socket.id, socket.handshake.auth]),
    ).toEqual([[id, { token: 1 }]]);
    client.close();
    await nothingIsHeld(server);
  });

  test("what is sent before a close is heard", async () => {
    const { server, transport } = await start();
    for (let n = 0; n < 20; n += 1) {
      const { client, socket } = await server.pair("/", transport);
      const heard = record(socket);
      const gone = once(socket, "disconnect");
      client.emit("last", n);
      client.disconnect();
      expect((await gone)[0]).toBe("client namespace disconnect");
      expect(heard).toEqual([["last", n]]);
    }
    await nothingIsHeld(server);
  });

  test("a client may leave one namespace and come again", async () => {
    const { server, transport } = await start();
    server.watch("/chat");
    const { client } = await server.pair("/", transport);
    const chat = await join(client, "/chat");
    const socket = await server.socketOf(chat);
    const gone = once(socket, "disconnect");
    chat.disconnect();
    expect((await gone)[0]).toBe("client namespace disconnect");
    chat.connect();
    await connected(chat);
    await barrier(client, chat);
  });

  test("the server may put out one socket, a room, and whole connections", async () => {
    const { server, transport } = await start();
    server.watch("/chat");
    const reasons = async (sockets, clients, act) => {
      const gone = sockets.map((socket) => once(socket, "disconnect"));
      const told = clients.map((client) => once(client, "disconnect"));
      act();
      const first = async (all) => (await Promise.all(all)).map(([reason]) => reason);
      return [await first(gone), await first(told)];
    };
    const [left, told] = ["server namespace disconnect", "io server disconnect"];
    const main = await server.pair("/", transport);
    const chat = await join(main.client, "/chat");
    const inChat = await server.socketOf(chat);
    expect(await reasons([inChat], [chat], () => inChat.disconnect())).toEqual([[left], [told]]);
    await barrier(main.client);
    chat.connect();
    await connected(chat);
    const again = await server.socketOf(chat);
    const both = await reasons([main.socket, again], [main.client, chat], () => main.socket.disconnect(true));
    expect(both).toEqual([
      [left, left],
      [told, told],
    ]);

    const pairs = await Promise.all([1, 2, 3].map(() => server.pair("/", transport)));
    for (const { socket } of pairs.slice(1)) socket.join("room");
    const [first, ...others] = pairs;
    const out = await reasons(
      others.map(({ socket }) => socket),
      others.map(({ client }) => client),
      () => server.io.in("room").disconnectSockets(true),
    );
    expect(out).toEqual([
      [left, left],
      [told, told],
    ]);
    await barrier(first.client);
    expect(await reasons([first.socket], [first.client], () => server.io.disconnectSockets())).toEqual([
      [left],
      [told],
    ]);
    first.client.io._close();
    await nothingIsHeld(server);
  });

  test("each connection has a decoder, which goes with it", async () => {
    const { parser, server, transport } = await start();
    if (parser.Decoder.open === undefined) return;
    const pairs = await Promise.all([1, 2, 3].map(() => server.pair("/", transport)));
    expect(parser.Decoder.open.size).toBe(3);
    pairs[0].client.close();
    pairs[1].client.io.engine.close();
    pairs[2].socket.disconnect(true);
    await eventually(() => parser.Decoder.open.size === 0);
    await nothingIsHeld(server);
  });

  test("a closed server keeps no decoder", async () => {
    const { parser, server, transport } = await start();
    const { client, socket } = await server.pair("/", transport);
    client.io._reconnection = false;
    const gone = once(socket, "disconnect");
    const told = once(client, "disconnect");
    await server.io.close();
    expect((await gone)[0]).toBe("server shutting down");
    await told;
    client.io._close();
    if (parser.Decoder.open !== undefined) await eventually(() => parser.Decoder.open.size === 0);
  });
});

describe("parsers of one's own", () => {
  test("values arrive as the parser makes them", async () => {
    const parser = parserOf(JSON.stringify, (message) =>
      JSON.parse(message, (_key, value) => {
        if (value?.$map) return new Map(value.$map);
        if (value?.$big) return BigInt(value.$big);
        return value?.$date ? new Date(value.$date) : value;
      }),
    );
    const server = await startServer({ parser });
    const { id, say, next } = await openJson(server);
    const socket = await eventually(() => server.sockets.get(id));
    const heard = once(socket, "values");
    say({
      type: EVENT,
      data: ["values", { $map: [[1, 2]] }, { $big: "12345678901234567890" }, { $date: 5 }],
    });
    expect(await heard).toStrictEqual([new Map([[1, 2]]), 12345678901234567890n, new Date(5)]);
    const answer = new Promise((resolve) => socket.emit("ask", resolve));
    const { id: ack } = await next();
    say({ type: 3, id: ack, data: [{ $map: [["a", 1]] }] });
    expect(await answer).toStrictEqual(new Map([["a", 1]]));
  });

  test("a packet is encoded once for all receivers", async () => {
    let n = 0;
    const parser = parserOf((packet) => {
      if (packet.data?.[0] === "counted") n += 1;
      return JSON.stringify(packet);
    }, JSON.parse);
    const server = await startServer({ parser });
    const clients = await Promise.all([1, 2, 3].map(() => server.connect("/", { parser })));
    const heard = clients.map((client) => once(client, "counted"));
    server.io.emit("counted");
    await Promise.all(heard);
    expect(n).toBe(1);
  });

  test("an emit whose packet cannot be written throws, and nobody waits for its ack", async () => {
    const parser = parserOf((packet) => {
      if (packet.data?.[0] === "bad") throw new Error("this cannot be written");
      return JSON.stringify(packet);
    }, JSON.parse);
    const server = await startServer({ parser });
    const { client, socket } = await server.pair("/", { parser: json() });
    expect(() => socket.emit("bad")).toThrow("this cannot be written");
    expect(() => server.io.emit("bad")).toThrow("this cannot be written");
    expect(() => socket.emit("bad", () => {})).toThrow("this cannot be written");
    const answering = new Promise((resolve) => {
      socket.on("ask", (answer) => {
        expect(() => answer("bad")).toThrow("this cannot be written");
        resolve();
      });
    });
    client.emit("ask", () => {});
    await answering;
    await barrier(client);
    if (server.io._held) expect(server.io._held().acks).toBe(0);
  });

  test("a message that cannot be read ends its connection, and the sockets hear why", async () => {
    const server = await startServer({ parser: json() });
    server.watch("/chat");
    const other = await server.connect("/", { parser: json() });
    const { peer, id, say, next } = await openJson(server);
    say({ type: CONNECT, nsp: "/chat" });
    const chat = (await next()).data.sid;
    const sockets = await Promise.all([id, chat].map((one) => eventually(() => server.sockets.get(one))));
    const errors = sockets.map((socket) => once(socket, "error"));
    const gone = sockets.map((socket) => once(socket, "disconnect"));
    const heard = record(sockets[0]);
    say({ type: EVENT, data: ["before"] });
    peer.send("4no JSON");
    say({ type: EVENT, data: ["after"] });
    for (const [error] of await Promise.all(errors)) expect(error).toBeInstanceOf(SyntaxError);
    for (const [reason] of await Promise.all(gone)) expect(reason).toBe("forced close");
    await peer.closeCode();
    expect(heard.map(([name]) => name)).not.toContain("after");
    await barrier(other);
    other.close();
    await nothingIsHeld(server);
  });

  test("a packet out of place ends its connection", async () => {
    const server = await startServer({ parser: json() });
    const other = await server.connect("/", { parser: json() });
    const packets = [
      { type: EVENT, nsp: "/elsewhere", data: ["event"] },
      { type: CONNECT },
      { type: CONNECT_ERROR, data: {} },
      { type: DISCONNECT, nsp: "/elsewhere" },
      { type: 9, nsp: "/elsewhere" },
      { type: 3, nsp: "/elsewhere", id: 1, data: [] },
    ];
    for (const packet of packets) {
      const { peer, id, say } = await openJson(server);
      const socket = await eventually(() => server.sockets.get(id));
      const gone = once(socket, "disconnect");
      say(packet);
      await peer.closeCode();
      expect([packet, (await gone)[0]]).toEqual([packet, "forced close"]);
    }
    await barrier(other);
    other.close();
    await nothingIsHeld(server);
  });

  ferrioOnly("the official one has no bounds for them", () => {
    test("packets without a list of arguments, and acks that nobody waits for", async () => {
      const server = await startServer({ parser: json() });
      for (const packet of [
        { type: EVENT, data: "no list" },
        { type: 3, id: 1, data: 5 },
        { type: EVENT, nsp: 7, data: [] },
      ]) {
        const { peer, id, say, next } = await openJson(server);
        const socket = await eventually(() => server.sockets.get(id));
        if (packet.type === 3) socket.emit("ask", () => {});
        const gone = once(socket, "disconnect");
        say(packet.type === 3 ? { ...packet, id: (await next()).id } : packet);
        await peer.closeCode();
        expect((await gone)[0]).toBe("forced close");
      }
      const { peer, id, say } = await openJson(server);
      const socket = await eventually(() => server.sockets.get(id));
      for (const unknown of [0, 99, -1, 0.5, "x", null, {}]) {
        say({ type: 3, id: unknown, data: ["x".repeat(1000)] });
      }
      const heard = once(socket, "done");
      say({ type: EVENT, data: ["done"] });
      await heard;
      expect(server.io._held()).toMatchObject({ parsedAnswers: 0 });
      peer.socket.terminate();
      await nothingIsHeld(server);
    });

    test("too many namespaces are refused", async () => {
      const server = await startServer({ parser: json(), limits: { maxNamespacesPerConnection: 1 } });
      server.watch("/chat");
      const client = await server.connect("/", { parser: json() });
      await expect(join(client, "/chat")).rejects.toThrow("too many namespaces");
      await barrier(client);
    });

    test("nothing is kept of events whose socket is put out before they are heard", async () => {
      const server = await startServer({ parser: json() });
      for (let n = 0; n < 5; n += 1) {
        const { client, socket } = await server.pair("/", { parser: json() });
        const heard = [];
        socket.on("first", () => socket.disconnect());
        socket.on("more", () => heard.push("more"));
        const gone = once(client, "disconnect");
        client.emit("first");
        for (let i = 0; i < 50; i += 1) client.emit("more", "x".repeat(1000));
        await gone;
        expect(heard).toEqual([]);
        client.io._close();
      }
      await nothingIsHeld(server);
    });

    test("there is no recovery with them", () => {
      const options = { parser: json(), connectionStateRecovery: {} };
      expect(() => new underTest.Server(options)).toThrow(/`connectionStateRecovery`.*`parser`/);
    });

    test("what is no parser is refused", () => {
      for (const parser of [{}, { Encoder: class {} }, { Encoder: 1, Decoder: 2 }]) {
        expect(() => new underTest.Server({ parser })).toThrow("option `parser` must be an object with");
      }
    });
  });

  test("a parser that is derived from a known one does what it says", async () => {
    const seen = [];
    class Encoder extends officialParser.Encoder {
      encode(packet) {
        seen.push(packet.type);
        return super.encode(packet);
      }
    }
    const server = await startServer({ parser: { ...officialParser, Encoder } });
    const { client, socket } = await server.pair("/", WEBSOCKET);
    const heard = once(client, "bytes");
    socket.emit("bytes", { a: Buffer.from("abc") });
    expect(await heard).toEqual([{ a: Buffer.from("abc") }]);
    const up = once(socket, "bytes");
    client.emit("bytes", { a: Buffer.from("abc") });
    expect(await up).toEqual([{ a: Buffer.from("abc") }]);
    expect(seen).toEqual([0, 2]);
  });

  test("with a parser that makes nothing of anything the engine is left", async () => {
    const server = await startServer({ parser: silent() });
    const messages = [];
    server.io.engine.on("connection", (socket) => {
      socket.on("message", (data) => {
        messages.push(data);
        socket.send(data);
      });
    });
    server.io.emit("nobody hears");
    const peer = await openWebSocket(server, { join: false });
    peer.socket.send("4hello");
    expect(await peer.next()).toBe("4hello");
    const session = await openPolling(server, { join: false });
    await session.post("4over polling");
    expect(await session.packets()).toEqual(["4over polling"]);
    expect(messages).toEqual(["hello", "over polling"]);
    peer.socket.terminate();
    await session.post("1");
    await nothingIsHeld(server);
  });

  test("an encoder that cannot be made is told at once", () => {
    class Encoder {
      constructor() {
        throw new Error("no encoder");
      }
    }
    expect(() => new underTest.Server({ parser: { ...json(), Encoder } })).toThrow("no encoder");
  });

  ferrioOnly("the official server leaves the connection open", () => {
    test("a decoder that cannot be made is an uncaught exception, and its connection closed", async () => {
      const program = path.join(__dirname, "programs", "throws-in-decoder.js");
      const done = new Promise((resolve, reject) =>
        execFile(process.execPath, [program], (error, stdout) => (error ? reject(error) : resolve(stdout))),
      );
      expect(await within(done, "the program to end")).toBe("uncaught: no decoder\nclosed\nheld: 0\n");
    });
  });

  test("clients of Socket.IO 2 are served", async () => {
    const server = await startServer({ parser: json(), allowEIO3: true });
    server.watch("/chat");
    const { say, next } = await openJsonSession(server, { protocol: 3 });
    expect(await next()).toEqual({ type: CONNECT, nsp: "/" });
    say({ type: CONNECT, nsp: "/chat?token=abc" });
    expect(await next()).toEqual({ type: CONNECT, nsp: "/chat" });
    const [socket] = await eventually(() => {
      const sockets = [...server.io.of("/chat").sockets.values()];
      return sockets.length > 0 && sockets;
    });
    expect({ ...socket.handshake.auth }).toEqual({ token: "abc" });
    say({ type: CONNECT, nsp: "/nowhere" });
    expect(await next()).toEqual({
      type: CONNECT_ERROR,
      nsp: "/nowhere",
      data: { message: "Invalid namespace" },
    });
  });
});
