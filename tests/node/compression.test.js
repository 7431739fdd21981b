"use strict";

const http = require("node:http");
const zlib = require("node:zlib");
const connectOld = require("socket.io-client-v2");
const WebSocket = require("ws");
const {
  POLLING,
  UPGRADE,
  WEBSOCKET,
  afterThisTest,
  eventually,
  ferrioOnly,
  once,
  startSecureServer,
  startServer,
  upgraded,
} = require("./support");

/** A client that offers compression. */
const DEFLATE = { ...WEBSOCKET, perMessageDeflate: { threshold: 0 } };

/** An object of some 20 kB, which compression makes a tenth of. */
const LONG = {
  list: Array.from({ length: 400 }, (_, id) => ({ id, name: `item ${id}`, price: id * 7, ok: true })),
};

const webSocketOf = (client) => client.io.engine.transport.ws;

/** How many bytes an event takes on its way to the client. */
async function lengthDown(client, send) {
  const { _socket: socket } = webSocketOf(client);
  const before = socket.bytesRead;
  const heard = once(client, "news");
  send();
  const args = await heard;
  return [socket.bytesRead - before, args];
}

/** The same in the other direction. */
async function lengthUp(client, socket, ...args) {
  const { _socket: connection } = webSocketOf(client);
  const before = connection.bytesWritten;
  const heard = once(socket, "news");
  client.emit("news", ...args);
  const received = await heard;
  return [connection.bytesWritten - before, received];
}

/** A bare WebSocket that offers compression, when it is open. */
async function openBare(server, options) {
  const webSocket = new WebSocket(`ws://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=websocket`, {
    perMessageDeflate: true,
    ...options,
  });
  afterThisTest(() => webSocket.terminate());
  webSocket.on("error", () => {});
  await once(webSocket, "open");
  return webSocket;
}

/** A client's frame, its mask all zeros. */
function frame(first, body) {
  const head = Buffer.alloc(14);
  head[0] = first;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(body.length), 2);
  if (body.length > 125) return Buffer.concat([head, body]);
  return Buffer.concat([Buffer.from([first, 0x80 | body.length, 0, 0, 0, 0]), body]);
}

/** The answer to an offer: its status and extensions. */
function answerTo(server, offer) {
  return new Promise((resolve, reject) => {
    const request = http.request({
      port: server.port,
      host: "127.0.0.1",
      path: "/socket.io/?EIO=4&transport=websocket",
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Extensions": offer,
      },
    });
    const answered = ({ statusCode, headers }, connection) => {
      connection.destroy();
      const extensions = headers["sec-websocket-extensions"];
      resolve([statusCode, extensions?.split("; ").sort().join("; ")]);
    };
    request.on("upgrade", answered);
    request.on("response", (response) => answered(response, response.socket));
    request.on("error", reject);
    request.end();
  });
}

describe("compression of messages", () => {
  test("is off by default, and when it is false", async () => {
    for (const options of [{}, { perMessageDeflate: false }]) {
      const server = await startServer(options);
      const { client, socket } = await server.pair("/", DEFLATE);
      expect(webSocketOf(client).extensions).toBe("");
      const [length, [heard]] = await lengthDown(client, () => socket.emit("news", LONG));
      expect(heard).toEqual(LONG);
      expect(length).toBeGreaterThan(JSON.stringify(LONG).length);
    }
  });

  test.each([
    ["true", true],
    ["an object", { threshold: 1024 }],
    ["without context", { serverNoContextTakeover: true, clientNoContextTakeover: true }],
    ["with small windows", { serverMaxWindowBits: 10, clientMaxWindowBits: 10 }],
    ["with a level", { zlibDeflateOptions: { level: 1 } }],
  ])("is agreed on and done both ways: %s", async (_name, perMessageDeflate) => {
    const server = await startServer({ perMessageDeflate });
    const { client, socket } = await server.pair("/", DEFLATE);
    expect(webSocketOf(client).extensions).toContain("permessage-deflate");
    for (let round = 0; round < 3; round += 1) {
      const [down, [heard]] = await lengthDown(client, () => socket.emit("news", LONG));
      expect(heard).toEqual(LONG);
      expect(down).toBeLessThan(JSON.stringify(LONG).length / 3);
      const [up, [received]] = await lengthUp(client, socket, LONG);
      expect(received).toEqual(LONG);
      expect(up).toBeLessThan(JSON.stringify(LONG).length / 3);
    }
  });

  test("looks back at what was said before", async () => {
    const server = await startServer({ perMessageDeflate: true });
    const { client, socket } = await server.pair("/", DEFLATE);
    const list = LONG.list.slice(0, 50);
    const lengths = [];
    for (let round = 0; round < 2; round += 1) {
      const [length] = await lengthDown(client, () => socket.emit("news", list));
      lengths.push(length);
    }
    expect(lengths[1]).toBeLessThan(lengths[0] / 3);
  });

  test("is done on encrypted connections, and after an upgrade", async () => {
    const server = await startSecureServer({ perMessageDeflate: true });
    const { client, socket } = await server.pair("/", {
      ...DEFLATE,
      ...UPGRADE,
      rejectUnauthorized: false,
    });
    await upgraded(client);
    expect(webSocketOf(client).extensions).toContain("permessage-deflate");
    const [down, [heard]] = await lengthDown(client, () => socket.emit("news", LONG));
    expect(heard).toEqual(LONG);
    expect(down).toBeLessThan(JSON.stringify(LONG).length / 3);
    const [, [received]] = await lengthUp(client, socket, LONG);
    expect(received).toEqual(LONG);
  });

  test("is for each client as it can: all get a broadcast whole, attachments and all, and in order", async () => {
    const server = await startServer({ perMessageDeflate: true, allowEIO3: true });
    const clients = [];
    for (const options of [
      DEFLATE,
      DEFLATE,
      { ...DEFLATE, perMessageDeflate: { serverNoContextTakeover: true, clientMaxWindowBits: 9 } },
      { ...WEBSOCKET, perMessageDeflate: false },
      POLLING,
      { ...DEFLATE, ...UPGRADE },
    ]) {
      clients.push(await server.connect("/", options));
    }
    const old = connectOld(server.url, { forceNew: true, ...DEFLATE });
    afterThisTest(() => old.close());
    await once(old, "connect");
    clients.push(old);
    const heard = clients.map((client) => {
      const events = [];
      client.on("news", (...args) => events.push(args));
      return events;
    });
    await eventually(() => server.io.of("/").sockets.size === clients.length);
    const noise = Buffer.from(Array.from({ length: 2000 }, (_, idx) => (idx * idx * 31) % 251));
    const flat = Buffer.alloc(5000, 7);
    for (let number = 0; number < 30; number += 1) {
      server.io.emit("news", number, LONG, { noise, flat }, "\u{1f980}");
      server.io.emit("news", number);
    }
    await eventually(() => heard.every((events) => events.length === 60));
    for (const events of heard) {
      for (let number = 0; number < 30; number += 1) {
        const [first, long, binary, crab] = events[2 * number];
        expect([first, long, crab, events[2 * number + 1]]).toEqual([number, LONG, "\u{1f980}", [number]]);
        expect(noise.equals(binary.noise) && flat.equals(binary.flat)).toBe(true);
      }
    }
  });

  test("leaves acks, and events from all sides at once, in order", async () => {
    const server = await startServer({ perMessageDeflate: { threshold: 0 } });
    const { client, socket } = await server.pair("/", DEFLATE);
    socket.on("ask", (number, list, answer) => answer(number, list));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, number) =>
        client.emitWithAck("ask", number, LONG.list.slice(0, number % 20)),
      ),
    );
    expect(answers).toEqual(answers.map((_, number) => [number, LONG.list.slice(0, number % 20)].at(0)));
  });
});

describe("offers of compression", () => {
  test.each([
    ["permessage-deflate", {}, [101, "permessage-deflate"]],
    ["permessage-deflate; client_max_window_bits", {}, [101, "permessage-deflate"]],
    [
      "permessage-deflate; client_max_window_bits=10",
      {},
      [101, "client_max_window_bits=10; permessage-deflate"],
    ],
    [
      "permessage-deflate; server_max_window_bits=9",
      {},
      [101, "permessage-deflate; server_max_window_bits=9"],
    ],
    [
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
      {},
      [101, "client_no_context_takeover; permessage-deflate; server_no_context_takeover"],
    ],
    [
      'permessage-deflate; server_max_window_bits="1\\0"',
      {},
      [101, "permessage-deflate; server_max_window_bits=10"],
    ],
    ["permessage-bzip2, permessage-deflate", {}, [101, "permessage-deflate"]],
    ["permessage-bzip2", {}, [101, undefined]],
    [
      "permessage-deflate; client_max_window_bits",
      { serverMaxWindowBits: 12, clientMaxWindowBits: 11 },
      [101, "client_max_window_bits=11; permessage-deflate; server_max_window_bits=12"],
    ],
    [
      "permessage-deflate; server_max_window_bits=9, permessage-deflate",
      { serverMaxWindowBits: 12 },
      [101, "permessage-deflate; server_max_window_bits=12"],
    ],
    [
      "permessage-deflate; server_no_context_takeover, permessage-deflate",
      { serverNoContextTakeover: false },
      [101, "permessage-deflate"],
    ],
    [
      "permessage-deflate; client_max_window_bits=9",
      { clientMaxWindowBits: false },
      [101, "permessage-deflate"],
    ],
    ["permessage-deflate;", {}, [400, undefined]],
    ["permessage-deflate; server_max_window_bits=", {}, [400, undefined]],
    ["permessage-deflate; a=b c", {}, [400, undefined]],
  ])("%s, for %j", async (offer, perMessageDeflate, answer) => {
    const server = await startServer({ perMessageDeflate });
    expect(await answerTo(server, offer)).toEqual(answer);
  });

  ferrioOnly(
    "socket.io answers 400 when there is no offer that it can accept, not as RFC 7692 has it",
    () => {
      test.each([
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
      ])("%s is declined", async (offer) => {
        const server = await startServer({ perMessageDeflate: true });
        expect(await answerTo(server, offer)).toEqual([101, undefined]);
        expect(await answerTo(server, `${offer}, permessage-deflate`)).toEqual([101, "permessage-deflate"]);
      });
    },
  );
});

describe("what is compressed", () => {
  ferrioOnly(
    "socket.io compresses every message while there is a context to look back at, asked or not",
    () => {
      test("begins at the threshold", async () => {
        const server = await startServer({ perMessageDeflate: { threshold: 500 } });
        const { client, socket } = await server.pair("/", DEFLATE);
        const [short] = await lengthDown(client, () => socket.emit("news", "a".repeat(400)));
        expect(short).toBeGreaterThan(400);
        const [long] = await lengthDown(client, () => socket.emit("news", "a".repeat(500)));
        expect(long).toBeLessThan(100);
      });

      test("is what may be", async () => {
        const server = await startServer({ perMessageDeflate: true });
        const { client, socket } = await server.pair("/", DEFLATE);
        const { length } = JSON.stringify(LONG);
        for (const send of [
          () => socket.compress(false).emit("news", LONG),
          () => server.io.compress(false).emit("news", LONG),
        ]) {
          const [plain] = await lengthDown(client, send);
          expect(plain).toBeGreaterThan(length);
        }
        for (const send of [
          () => socket.compress(true).emit("news", LONG),
          () => server.io.emit("news", LONG),
        ]) {
          const [compressed] = await lengthDown(client, send);
          expect(compressed).toBeLessThan(length / 3);
        }
      });
    },
  );

  test("is told when a packet is made", async () => {
    const server = await startServer({ perMessageDeflate: true });
    const { client, socket } = await server.pair("/", DEFLATE);
    const told = [];
    socket.conn.on("packetCreate", ({ data, options }) => told.push([data, options.compress]));
    socket.emit("news", 1);
    socket.compress(false).emit("news", 2);
    server.io.compress(false).emit("news", 3);
    server.io.emit("news", 4);
    let heard = 0;
    client.on("news", (number) => {
      heard = number;
    });
    await eventually(() => heard === 4 && told.length === 4);
    expect(told).toEqual([
      ['2["news",1]', true],
      ['2["news",2]', false],
      ['2["news",3]', false],
      ['2["news",4]', true],
    ]);
  });
});

describe("compressed messages that harm", () => {
  /** The status with which the server closes when it gets this. */
  async function statusAfter(options, first, body) {
    const server = await startServer(options);
    const webSocket = await openBare(server);
    const closed = once(webSocket, "close");
    webSocket._socket.write(frame(first, body));
    return (await closed)[0];
  }

  const TEXT = 0x81;
  const RSV1 = 0x40;
  const deflated = (data) =>
    zlib.deflateRawSync(data, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);

  test.each([
    ["noise", TEXT | RSV1, Buffer.from([0xff, 0xfe, 0x07, 0x99, 0x01]), 1007],
    ["bytes that are no UTF-8", TEXT | RSV1, deflated(Buffer.from([0x34, 0xff, 0xfe])), 1007],
    ["a distance beyond the beginning", TEXT | RSV1, Buffer.from([0xf2, 0x00, 0x11, 0x00, 0x00]), 1007],
    ["a bomb", TEXT | RSV1, deflated(Buffer.alloc(50e6, "4")), 1009],
    ["a compressed ping", 0x89 | RSV1, Buffer.alloc(0), 1002],
    ["a compressed continuation", 0x80 | RSV1, Buffer.alloc(0), 1002],
    ["another reserved bit", TEXT | 0x20, Buffer.from("40"), 1002],
  ])("%s", async (_name, first, body, status) => {
    expect(await statusAfter({ perMessageDeflate: true, maxHttpBufferSize: 1e5 }, first, body)).toBe(status);
  });

  test("none was agreed on", async () => {
    expect(await statusAfter({}, TEXT | RSV1, deflated(Buffer.from("40")))).toBe(1002);
  });
});
