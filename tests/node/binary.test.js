"use strict";

const { POLLING, WEBSOCKET, barrier, once, record, startServer } = require("./support");

const TRANSPORTS = [
  ["WebSocket", WEBSOCKET],
  ["long-polling", POLLING],
];

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, n) => n));

/** The arguments with every kind of bytes turned into a Buffer. */
function asBuffers(value) {
  if (Buffer.isBuffer(value)) return value;
  if (value instanceof ArrayBuffer || Object.prototype.toString.call(value) === "[object ArrayBuffer]")
    return Buffer.from(value);
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return value.map(asBuffers);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, asBuffers(inner)]));
  }
  return value;
}

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

describe("binary", () => {
  for (const [title, transport] of [
    ["a Buffer reaches the client as bytes over WebSocket", WEBSOCKET],
    ["a Buffer reaches the client as bytes over long-polling", POLLING],
  ]) {
    test(title, async () => {
      const server = await startServer();
      const pair = await server.pair("/", transport);
      const [bytes] = await sendDown(pair, Buffer.from([1, 2, 3, 0, 255]));
      expect(Buffer.isBuffer(bytes)).toBe(true);
      expect(bytes).toEqual(Buffer.from([1, 2, 3, 0, 255]));
    });
  }

  for (const [title, transport] of [
    ["bytes from the client reach the server as a Buffer over WebSocket", WEBSOCKET],
    ["bytes from the client reach the server as a Buffer over long-polling", POLLING],
  ]) {
    test(title, async () => {
      const server = await startServer();
      const pair = await server.pair("/", transport);
      const [bytes] = await sendUp(pair, Buffer.from([1, 2, 3, 0, 255]));
      expect(Buffer.isBuffer(bytes)).toBe(true);
      expect(bytes).toEqual(Buffer.from([1, 2, 3, 0, 255]));
    });
  }

  test("Buffer, Uint8Array, ArrayBuffer and a view into a larger buffer all carry exactly their bytes", async () => {
    const server = await startServer();
    const expected = Buffer.from([5, 6, 7, 8]);
    const kinds = [
      Buffer.from(expected),
      Uint8Array.from(expected),
      Uint8Array.from(expected).buffer,
      new Uint8Array(Uint8Array.from([0, 0, ...expected, 9]).buffer, 2, 4),
      Buffer.from([0, ...expected, 9]).subarray(1, 5),
      new DataView(Uint8Array.from([0, ...expected, 9]).buffer, 1, 4),
    ];
    for (const transport of TRANSPORTS) {
      const pair = await server.pair("/", transport);
      for (const kind of kinds) {
        expect(asBuffers(await sendDown(pair, kind))).toEqual([expected]);
        expect(asBuffers(await sendUp(pair, kind))).toEqual([expected]);
      }
    }
  });

  test("bytes nested in objects and arrays keep their place", async () => {
    const server = await startServer();
    const sent = [
      "first",
      {
        file: { name: "a.bin", parts: [Buffer.from("one"), null, { deep: [[Buffer.from("two")]] }] },
        list: [1, Buffer.from("three")],
      },
      Buffer.from("four"),
      [],
    ];
    for (const transport of TRANSPORTS) {
      const pair = await server.pair("/", transport);
      expect(await sendUp(pair, ...sent)).toStrictEqual(sent);
      expect(await sendDown(pair, ...sent)).toStrictEqual(sent);
    }
  });

  test("several attachments keep their order", async () => {
    const server = await startServer();
    const sent = Array.from({ length: 10 }, (_, n) => Buffer.from(`attachment ${n}`));
    for (const transport of TRANSPORTS) {
      const pair = await server.pair("/", transport);
      expect(await sendUp(pair, ...sent)).toStrictEqual(sent);
      expect(await sendDown(pair, ...sent)).toStrictEqual(sent);
    }
  });

  test("an empty attachment stays empty", async () => {
    const server = await startServer();
    for (const transport of TRANSPORTS) {
      const pair = await server.pair("/", transport);
      expect(await sendUp(pair, Buffer.alloc(0), "behind")).toStrictEqual([Buffer.alloc(0), "behind"]);
      expect(await sendDown(pair, Buffer.alloc(0), "behind")).toStrictEqual([Buffer.alloc(0), "behind"]);
    }
  });

  test("every byte value survives both ways", async () => {
    const server = await startServer();
    for (const transport of TRANSPORTS) {
      const pair = await server.pair("/", transport);
      expect(await sendUp(pair, EVERY_BYTE)).toStrictEqual([EVERY_BYTE]);
      expect(await sendDown(pair, EVERY_BYTE)).toStrictEqual([EVERY_BYTE]);
    }
  });

  test("bytes in an ack from the server reach the client", async () => {
    const server = await startServer();
    for (const transport of TRANSPORTS) {
      const { client, socket } = await server.pair("/", transport);
      socket.on("read", (name, answer) => answer({ name, bytes: Buffer.from(name) }, EVERY_BYTE));
      const answer = await new Promise((resolve) => client.emit("read", "file", (...args) => resolve(args)));
      expect(answer).toStrictEqual([{ name: "file", bytes: Buffer.from("file") }, EVERY_BYTE]);
    }
  });

  test("bytes in an ack from the client reach the server", async () => {
    const server = await startServer();
    for (const transport of TRANSPORTS) {
      const { client, socket } = await server.pair("/", transport);
      client.on("read", (bytes, answer) => answer([bytes, EVERY_BYTE]));
      const answer = await socket.timeout(10000).emitWithAck("read", Buffer.from("asked"));
      expect(answer).toStrictEqual([Buffer.from("asked"), EVERY_BYTE]);
    }
  });

  test("a broadcast of bytes reaches WebSocket and polling receivers alike", async () => {
    const server = await startServer();
    const clients = await Promise.all(
      [WEBSOCKET, POLLING, WEBSOCKET, POLLING].map((transport) => server.connect("/", transport)),
    );
    const heard = clients.map(record);
    server.io.emit("bytes", { bytes: EVERY_BYTE }, Buffer.from("more"));
    server.io.emit("bytes", Uint8Array.from([1, 2]).buffer);
    await barrier(...clients);
    for (const events of heard) {
      expect(events).toStrictEqual([
        ["bytes", { bytes: EVERY_BYTE }, Buffer.from("more")],
        ["bytes", Buffer.from([1, 2])],
      ]);
    }
  });

  test("text events between binary ones keep their order", async () => {
    const server = await startServer();
    for (const transport of TRANSPORTS) {
      const { client, socket } = await server.pair("/", transport);
      const expected = [];
      const up = [];
      socket.on("n", (value) => up.push(["n", value]));
      const down = record(client);
      for (let n = 0; n < 200; n += 1) {
        const value = n % 3 === 0 ? Buffer.from(`bytes ${n}`) : `text ${n}`;
        expected.push(["n", value]);
        client.emit("n", value);
        socket.emit("n", value);
      }
      await barrier(client);
      expect(up).toStrictEqual(expected);
      expect(down).toStrictEqual(expected);
    }
  });

  test("concurrent binary emits to one client do not mix their attachments", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const heard = record(client);
    const emitters = [server.io, socket, server.io.to(socket.id)];
    await Promise.all(
      emitters.map(async (emitter, from) => {
        for (let n = 0; n < 50; n += 1) {
          emitter.emit("bytes", from, n, Buffer.from(`${from}/${n}/a`), { b: Buffer.from(`${from}/${n}/b`) });
          await new Promise(setImmediate);
        }
      }),
    );
    await barrier(client);
    expect(heard).toHaveLength(150);
    for (const [, from, n, first, second] of heard) {
      expect([first.toString(), second.b.toString()]).toEqual([`${from}/${n}/a`, `${from}/${n}/b`]);
    }
  });

  test("a megabyte of bytes survives both ways", async () => {
    const server = await startServer({ maxHttpBufferSize: 4e6 });
    const bytes = Buffer.alloc(1024 * 1024, EVERY_BYTE);
    for (const transport of TRANSPORTS) {
      const pair = await server.pair("/", transport);
      const [up] = await sendUp(pair, bytes);
      expect(up.equals(bytes)).toBe(true);
      const [down] = await sendDown(pair, bytes);
      expect(down.equals(bytes)).toBe(true);
    }
  });
});
