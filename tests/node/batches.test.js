"use strict";

const { execFile } = require("node:child_process");
const path = require("node:path");
const { setImmediate: nextRound } = require("node:timers/promises");
const { Worker } = require("node:worker_threads");
const {
  DOOR,
  POLLING,
  WEBSOCKET,
  afterThisTest,
  barrier,
  eventually,
  ferrioOnly,
  isOfficial,
  once,
  openWebSocket,
  record,
  request,
  startSecureServer,
  startServer,
  underTest,
  within,
} = require("./support");

/** A server, and several clients with their sockets. */
async function startWith(n, options = {}) {
  const server = await startServer(options);
  const pairs = [];
  for (let i = 0; i < n; i += 1) pairs.push(await server.pair());
  return { server, io: server.io, pairs };
}

const LONE = "a \ud800 b \udc00 c";
const KIB = 1024;

/** Bytes that tell one buffer from another. */
function bytes(n, fill) {
  return Buffer.alloc(n, fill);
}

/** Values that throw when they are written as JSON, each with bytes that were cut out before. */
function unwritable() {
  const cyclic = { bytes: bytes(10, "c") };
  cyclic.self = cyclic;
  return {
    "a cycle": cyclic,
    "a BigInt": [bytes(10, "i"), 1n],
    "a large buffer and a BigInt": [bytes(9000, "l"), 1n],
    "a getter": {
      bytes: bytes(10, "g"),
      get broken() {
        throw new Error("no value");
      },
    },
    "a toJSON": [
      bytes(10, "t"),
      {
        toJSON() {
          throw new Error("no value");
        },
      },
    ],
    "a proxy": [
      bytes(10, "p"),
      new Proxy(
        {},
        {
          ownKeys() {
            throw new Error("no value");
          },
        },
      ),
    ],
    "a detached buffer": [bytes(10, "d"), detached()],
  };
}

function detached() {
  const buffer = new ArrayBuffer(10);
  const view = new DataView(buffer);
  structuredClone(buffer, { transfer: [buffer] });
  // Its accessors throw.
  return { view, length: { toJSON: () => view.byteLength } };
}

const brokenRoom = {
  toString() {
    throw new Error("no name");
  },
};

describe("batches", () => {
  test("a value that throws when it is encoded leaves nothing behind", async () => {
    const { io, pairs } = await startWith(2);
    const heard = pairs.map(({ client }) => record(client));
    const [first, second] = pairs.map(({ socket }) => socket);
    const expected = [[], []];
    for (const [name, value] of Object.entries(unwritable())) {
      for (const emit of [
        () => first.emit("broken", value),
        () => first.emit("broken", value, () => {}),
        () => first.volatile.emit("broken", value),
        () => io.emit("broken", value),
        () => io.to(first.id).except("nobody").emit("broken", value),
        () => io.timeout(1000).emit("broken", value, () => {}),
      ]) {
        expect(emit).toThrow();
      }
      first.emit("private", name, bytes(3, "x"));
      second.emit("secret", name);
      first.emit("text", name);
      expected[0].push(["private", name, bytes(3, "x")], ["text", name]);
      expected[1].push(["secret", name]);
    }
    await barrier(...pairs.map(({ client }) => client));
    expect(heard).toEqual(expected);
  });

  test("an answer that throws when it is encoded can be given again", async () => {
    const { pairs } = await startWith(1);
    const [{ client, socket }] = pairs;
    socket.on("ask", (answer) => {
      for (const value of Object.values(unwritable())) expect(() => answer(value)).toThrow();
      answer("whole", bytes(2, "b"));
    });
    const answered = new Promise((resolve) => client.emit("ask", (...values) => resolve(values)));
    expect(await within(answered, "the answer")).toEqual(["whole", bytes(2, "b")]);
  });

  ferrioOnly("the official server compares such rooms by identity and never asks for a name", () => {
    test("a room whose name throws leaves nothing behind", async () => {
      const { io, pairs } = await startWith(2);
      const heard = pairs.map(({ client }) => record(client));
      const [first, second] = pairs.map(({ socket }) => socket);
      first.join("lobby");
      const attempt = (act) => {
        // Rooms that are no texts may come to have names that do not throw.
        try {
          act();
        } catch (error) {
          expect(error.message).toBe("no name");
        }
      };
      attempt(() => io.to("lobby").except(brokenRoom).volatile.emit("not sent"));
      attempt(() => io.to(brokenRoom).emit("not sent"));
      attempt(() => first.join(["a", brokenRoom]));
      attempt(() => first.leave(brokenRoom));
      attempt(() => io.in(brokenRoom).socketsJoin("b"));
      attempt(() =>
        io
          .to("nobody")
          .to(brokenRoom)
          .timeout(100)
          .emit("ask", bytes(5, "q"), () => {}),
      );
      first.emit("private", 1);
      second.emit("secret", 2);
      await barrier(...pairs.map(({ client }) => client));
      const own = heard.map((events) => events.filter(([name]) => name !== "not sent"));
      expect(own).toEqual([[["private", 1]], [["secret", 2]]]);
    });
  });

  ferrioOnly("the official server compares such rooms by identity and never asks for a name", () => {
    test("a room whose name emits leaves both events whole", async () => {
      const { io, pairs } = await startWith(2);
      const heard = pairs.map(({ client }) => record(client));
      const [outer, inner] = pairs.map(({ socket }) => socket);
      let n = 0;
      const room = {
        toString() {
          n += 1;
          inner.emit("inner", n, bytes(3, "i"));
          inner.emit("large", n, bytes(5000, "j"));
          return "room";
        },
      };
      outer.join(room);
      io.to(outer.id).to(room).except(room).emit("excepted", bytes(4, "o"));
      io.to(outer.id).except("nobody").emit("outer", bytes(4, "o"), "text");
      outer.leave(room);
      outer.emit("left");
      await barrier(...pairs.map(({ client }) => client));
      expect(heard[0].filter(([name]) => name !== "excepted")).toEqual([
        ["outer", bytes(4, "o"), "text"],
        ["left"],
      ]);
      const expected = [];
      for (let i = 1; i <= n; i += 1)
        expected.push(["inner", i, bytes(3, "i")], ["large", i, bytes(5000, "j")]);
      expect(heard[1]).toEqual(expected);
    });
  });

  test("an emit inside an emit leaves both whole", async () => {
    const { io, pairs } = await startWith(2);
    const heard = pairs.map(({ client }) => record(client));
    const [outer, inner] = pairs.map(({ socket }) => socket);
    const within = (n) => {
      inner.emit("inner", n, bytes(3, "i"));
      inner.emit("large", n, bytes(5000, "j"));
      io.to(inner.id).except("nobody").emit("text", n);
    };
    const values = [
      {
        get value() {
          within("getter");
          return 1;
        },
      },
      {
        toJSON() {
          within("toJSON");
          return 1;
        },
      },
      new Proxy(
        { value: 1 },
        {
          get(target, key) {
            if (key === "value") within("proxy");
            return target[key];
          },
        },
      ),
    ];
    for (const value of values) {
      outer.emit("outer", bytes(4, "o"), value, bytes(6000, "p"));
      io.to(outer.id).except("nobody").emit("outer", value);
    }
    outer.onAnyOutgoing(() => within("outgoing"));
    outer.emit("outer", bytes(4, "o"));
    io.to(outer.id).emit("outer", bytes(6000, "p"));
    outer.offAnyOutgoing();
    await barrier(...pairs.map(({ client }) => client));
    const own = { value: 1 };
    expect(heard[0]).toEqual([
      ["outer", bytes(4, "o"), own, bytes(6000, "p")],
      ["outer", own],
      ["outer", bytes(4, "o"), 1, bytes(6000, "p")],
      ["outer", 1],
      ["outer", bytes(4, "o"), own, bytes(6000, "p")],
      ["outer", own],
      ["outer", bytes(4, "o")],
      ["outer", bytes(6000, "p")],
    ]);
    expect(heard[1].length % 3).toBe(0);
    for (let i = 0; i < heard[1].length; i += 3) {
      const n = heard[1][i][1];
      expect(heard[1].slice(i, i + 3)).toEqual([
        ["inner", n, bytes(3, "i")],
        ["large", n, bytes(5000, "j")],
        ["text", n],
      ]);
    }
  });

  test("a getter that answers differently each time mixes up nothing", async () => {
    const { pairs } = await startWith(2);
    const heard = pairs.map(({ client }) => record(client));
    const [first, second] = pairs.map(({ socket }) => socket);
    const changing = (...answers) => ({
      get value() {
        return answers.length > 1 ? answers.shift() : answers[0];
      },
    });
    for (const value of [
      changing("text", bytes(4, "n")),
      changing(bytes(4, "y"), "text"),
      changing(bytes(4, "y"), undefined),
      changing("text", bytes(4, "n"), "text", bytes(4, "n")),
      changing(bytes(9000, "y"), "text", bytes(9000, "n")),
    ]) {
      first.emit("changing", bytes(2, "a"), value, bytes(2, "b"));
      second.emit("other", bytes(3, "o"));
    }
    await barrier(...pairs.map(({ client }) => client));
    expect(heard[0].map(([, a, , b]) => [a, b])).toEqual(Array(5).fill([bytes(2, "a"), bytes(2, "b")]));
    expect(heard[1]).toEqual(Array(5).fill(["other", bytes(3, "o")]));
  });

  ferrioOnly("the official server takes boxed values beside bytes for plain objects", () => {
    test("values with a form of their own keep it beside bytes", async () => {
      const { pairs } = await startWith(1);
      const [{ client, socket }] = pairs;
      const date = new Date(0);
      class Itself {
        constructor() {
          this.own = bytes(2, "o");
        }
        toJSON() {
          return this;
        }
      }
      const heard = once(client, "forms");
      const value = {
        date,
        text: new String("boxed"),
        number: new Number(7),
        list: [undefined, () => {}, bytes(1, "l")],
      };
      socket.emit("forms", { ...value, absent: undefined, method() {} }, new Itself());
      const [forms, itself] = await heard;
      expect(itself).toEqual({ own: bytes(2, "o") });
      expect(forms).toEqual({
        ...{ date: date.toJSON(), number: 7 },
        list: [null, null, bytes(1, "l")],
        text: "boxed",
      });
    });
  });

  ferrioOnly("the official server reads the memory when it sends", () => {
    test("views carry their bytes, whatever happens to the memory meanwhile", async () => {
      const { pairs } = await startWith(2);
      const [first, second] = pairs;
      const heard = pairs.map(({ client }) => record(client));
      for (const size of [16, 5 * KIB]) {
        const memory = new ArrayBuffer(size);
        new Uint8Array(memory).fill(7);
        const shared = new Uint8Array(new SharedArrayBuffer(size)).fill(8);
        first.socket.emit("views", memory, new Uint16Array(memory, 2, 2), new DataView(memory, 4, 4), shared);
        new Uint8Array(memory).fill(9);
        shared.fill(9);
        second.socket.emit("other", bytes(size, "o"));
      }
      await barrier(first.client, second.client);
      for (const [i, size] of [16, 5 * KIB].entries()) {
        const seven = bytes(size, 7);
        expect(heard[0][i]).toEqual([
          "views",
          seven,
          seven.subarray(0, 4),
          seven.subarray(0, 4),
          bytes(size, 8),
        ]);
        expect(heard[1][i]).toEqual(["other", bytes(size, "o")]);
      }
    });
  });

  ferrioOnly("the official server ends the process, or sends nothing more", () => {
    test("memory that is taken away or shrinks while it is encoded harms nobody", async () => {
      const { pairs } = await startWith(2);
      const [first, second] = pairs;
      const heard = record(second.client);
      const cases = [];
      for (const size of [16, 16 * KIB]) {
        const taken = new ArrayBuffer(size);
        cases.push([taken, () => structuredClone(taken, { transfer: [taken] })]);
        if (ArrayBuffer.prototype.resize === undefined) continue;
        const shrinking = new ArrayBuffer(size, { maxByteLength: 2 * size });
        cases.push([shrinking, () => shrinking.resize(1)]);
        cases.push([
          new Uint8Array(new ArrayBuffer(size, { maxByteLength: 2 * size })),
          (view) => view.buffer.resize(0),
        ]);
        cases.push([
          new Uint8Array(new ArrayBuffer(size, { maxByteLength: 2 * size })),
          (v) => v.buffer.resize(2 * size),
        ]);
      }
      for (const [memory, change] of cases) {
        const trap = {
          get value() {
            change(memory);
            return 1;
          },
        };
        try {
          first.socket.emit("memory", memory, trap, bytes(2, "z"));
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
        }
        second.socket.emit("other", bytes(3, "o"));
      }
      await barrier(first.client, second.client);
      expect(heard).toEqual(Array(cases.length).fill(["other", bytes(3, "o")]));
    });
  });

  test("large texts and bytes keep their order among small ones", async () => {
    const { io, pairs } = await startWith(2);
    const heard = pairs.map(({ client }) => record(client));
    const sent = [[], []];
    for (let n = 0; n < 40; n += 1) {
      const { socket } = pairs[n % 2];
      const args = [n, "é🦀".repeat(n % 4 === 0 ? 40 * KIB : n), bytes(n % 5 === 0 ? 6 * KIB : n, "b")].slice(
        0,
        2 + (n % 2),
      );
      socket.emit("one", ...args);
      sent[n % 2].push(["one", ...args]);
      io.to([socket.id, "é".repeat(n % 7 === 0 ? 70 * KIB : n)])
        .except("ü")
        .emit("many", n);
      sent[n % 2].push(["many", n]);
    }
    await barrier(...pairs.map(({ client }) => client));
    expect(heard).toEqual(sent);
  });

  test("a volatile event in the tick after a large one arrives", async () => {
    const { pairs } = await startWith(1);
    const [{ client, socket }] = pairs;
    const heard = record(client);
    await barrier(client);
    socket.emit("large", bytes(5000, "l"));
    await new Promise(setImmediate);
    socket.volatile.emit("volatile");
    await barrier(client);
    expect(heard).toEqual([["large", bytes(5000, "l")], ["volatile"]]);
  });

  for (const [title, transport] of [
    ["large events of many clients arrive whole over WebSocket", WEBSOCKET],
    ["large events of many clients arrive whole over long-polling", POLLING],
  ]) {
    test(title, async () => {
      const server = await startServer();
      const pairs = [];
      for (let i = 0; i < 6; i += 1) pairs.push(await server.pair("/", transport));
      const heard = pairs.map(({ socket }) => record(socket));
      const sent = pairs.map(() => []);
      for (let n = 0; n < 12; n += 1) {
        for (const [i, { client }] of pairs.entries()) {
          const args = [
            `${i} ${n} `.repeat(n % 3 === 0 ? 20 * KIB : 2),
            bytes(n % 4 === 0 ? 30 * KIB : 5, i),
          ].slice(0, 1 + (n % 2));
          client.emit("up", ...args);
          sent[i].push(["up", ...args]);
        }
      }
      await barrier(...pairs.map(({ client }) => client));
      expect(heard.map((events) => events.filter(([name]) => name === "up"))).toEqual(sent);
    });
  }

  test("a broadcast collects large answers, small ones and bytes", async () => {
    const { io, pairs } = await startWith(12);
    const answers = pairs.map((_, i) => {
      if (i % 3 === 0) return `${i}`.repeat(300 * KIB);
      return i % 3 === 1 ? { i, bytes: bytes(20 * KIB, i), text: "x".repeat(i % 2 === 0 ? 80 * KIB : 1) } : i;
    });
    for (const [i, { client }] of pairs.entries()) client.on("ask", (answer) => answer(answers[i]));
    const told = await io.timeout(10000).emitWithAck("ask");
    const sorted = (list) => list.map((value) => JSON.stringify(value)).sort();
    expect(sorted(told)).toEqual(sorted(answers));
  });

  test("large auth payloads reach middleware and namespace functions", async () => {
    const server = await startServer();
    const auth = { text: "x".repeat(100 * KIB), list: [1, "é"] };
    const told = [];
    server.io.use((socket, next) => {
      told.push(socket.handshake.auth);
      next();
    });
    server.io.of((_name, given, next) => {
      told.push(given);
      next(null, true);
    });
    await server.connect("/", { auth });
    await server.connect("/dynamic", { auth });
    expect(told).toEqual([auth, auth]);
  });

  test("listeners that throw, and clients that have gone, take no bytes from others", async () => {
    const program = path.join(__dirname, "programs", "throws-among-bytes.js");
    const output = await within(
      new Promise((resolve, reject) => {
        execFile(process.execPath, [program], (error, stdout) => (error ? reject(error) : resolve(stdout)));
      }),
      "the program to end",
    );
    expect(output).toBe("all right");
  });

  ferrioOnly("the official server has no such limit, and ends the process", () => {
    test("an event that cannot be taken apart costs its own client only", async () => {
      const server = await startServer({ limits: { maxDepth: 100_000 } });
      const { client, socket } = await server.pair();
      const hostile = await openWebSocket(server);
      const depth = 90_000;
      hostile.send(`451-["up",${"[".repeat(depth)}{"_placeholder":true,"num":0}${"]".repeat(depth)}]`);
      hostile.send(bytes(3, "h"));
      const heard = once(socket, "up");
      client.emit("up", bytes(3, "c"));
      expect(await heard).toEqual([bytes(3, "c")]);
      await hostile.closeCode();
      await barrier(client);
    });
  });

  test("an ack may have any number that the protocol can carry", async () => {
    const server = await startServer();
    const client = await openWebSocket(server);
    const [socket] = server.io.sockets.sockets.values();
    socket.on("ask", (n, answer) => answer(n));
    const numbers = ["0", "7", "4294967296", "9007199254740991"];
    for (const [n, number] of numbers.entries()) client.send(`42${number}["ask",${n}]`);
    const answers = [];
    while (answers.length < numbers.length) answers.push(await client.next());
    expect(answers).toEqual(numbers.map((number, n) => `43${number}[${n}]`));
  });

  test("any timeout of an emit is some time", async () => {
    const { io, pairs } = await startWith(1);
    const [{ client, socket }] = pairs;
    for (const timeout of [Number.NaN, -1, 0, 0.5, Number.POSITIVE_INFINITY, 2 ** 53, {}, "50"]) {
      await expect(io.timeout(timeout).emitWithAck("silence")).rejects.toThrow("timed out");
    }
    expect(() => socket.timeout(Symbol("no number")).emit("silence", () => {})).toThrow("number");
    const heard = record(client);
    socket.emit("after");
    await barrier(client);
    expect(heard).toEqual([["after"]]);
  });
});

describe("text that is not well-formed", () => {
  for (const [title, options] of [
    ["a lone surrogate in names, arguments and answers harms nobody", {}],
    [
      "a lone surrogate harms nobody with the MessagePack parser",
      { parser: require("socket.io-msgpack-parser") },
    ],
  ]) {
    test(title, async () => {
      const server = await startServer(options);
      const { client, socket } = await server.pair("/", options);
      const heard = record(client);
      client.on("ask", (...args) => args.at(-1)(LONE, { [LONE]: LONE }));
      socket.emit(LONE, LONE, { [LONE]: [LONE] });
      socket.emit("bytes", LONE, bytes(2, "b"));
      server.io.to(socket.id).emit("many", LONE);
      socket.on("ask", (value, answer) => answer(value, LONE));
      expect(await socket.timeout(10000).emitWithAck("ask", LONE)).toEqual(expect.any(String));
      expect(await client.timeout(10000).emitWithAck("ask", LONE)).toEqual(expect.any(String));
      await barrier(client);
      expect(heard).toContainEqual(["bytes", expect.any(String), bytes(2, "b")]);
      expect(heard.slice(0, 3).map((event) => event.length)).toEqual([3, 3, 2]);
      if (options.parser === undefined) expect(heard[0]).toEqual([LONE, LONE, { [LONE]: [LONE] }]);
    });
  }

  test("a lone surrogate in a refusal reaches the client in some form", async () => {
    const server = await startServer();
    server.io.use((_socket, next) => next(Object.assign(new Error(LONE), { data: { [LONE]: LONE } })));
    const [error] = await once(server.client(), "connect_error");
    expect(error.message).toHaveLength(LONE.length);
    expect(error.data).toEqual({ [LONE]: LONE });
  });

  test("a lone surrogate in the message of allowRequest refuses like any other", async () => {
    const server = await startServer({ allowRequest: (_request, answer) => answer(LONE, false) });
    const answer = await request(server, "/socket.io/?EIO=4&transport=polling");
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.text).message).toHaveLength(LONE.length);
  });

  test("namespaces whose names differ in lone surrogates stay apart", async () => {
    const server = await startServer();
    const { client } = await server.pair("/\ufffd");
    const heard = record(client);
    for (const name of ["/\ud800", "/\ud801"]) {
      const namespace = server.io.of(name);
      namespace.emit("not yours", bytes(2, "b"));
      namespace.to("room").except("other").emit("not yours");
      namespace.socketsJoin("room");
      namespace.disconnectSockets();
      expect(await namespace.fetchSockets()).toEqual([]);
      expect(await namespace.timeout(1000).emitWithAck("not yours")).toEqual([]);
    }
    await barrier(client);
    expect(heard).toEqual([]);
  });

  ferrioOnly("in the official server such a header ends the process", () => {
    test("a header that cannot be written is left out", async () => {
      const server = await startServer();
      server.io.engine.on("headers", (headers) => {
        headers["x-lone"] = LONE;
        headers["x-break"] = "a\r\nb: c";
        headers["a name"] = "x";
        headers["x-good"] = "good";
      });
      const answer = await request(server, "/socket.io/?EIO=4&transport=polling");
      expect(answer.status).toBe(200);
      expect(answer.headers["x-good"]).toBe("good");
      for (const name of ["x-lone", "x-break", "a name"]) expect(answer.headers).not.toHaveProperty(name);
    });

    test("options that are not well-formed are refused by name", () => {
      for (const [name, options] of [
        ["path", { path: "/\ud800" }],
        ["cors.origin", { cors: { origin: "http://\ud800" } }],
        ["cors.origin", { cors: { origin: ["http://a", "http://\ud800"] } }],
        ["cookie.name", { cookie: { name: "\ud800" } }],
      ]) {
        expect(() => new underTest.Server(options)).toThrow(`option \`${name}\``);
      }
    });
  });
});

describe("what is sent while the application is busy", () => {
  /** Clients in a thread of their own. */
  async function startListener(server, { transport = "websocket", n = 1 } = {}) {
    const counter = new SharedArrayBuffer(4);
    const heard = new Int32Array(counter);
    const program = path.join(__dirname, "programs", "listener.js");
    const worker = new Worker(program, { workerData: { url: server.url, counter, transport, n } });
    afterThisTest(async () => {
      const exit = once(worker, "exit");
      worker.postMessage("close");
      await exit;
    });
    await once(worker, "message");
    return {
      ask: (event) => worker.postMessage(event),
      /** Blocks this thread until the client has heard so many events and answers. */
      block: (n) => {
        const end = Date.now() + 10000;
        for (;;) {
          const seen = Atomics.load(heard, 0);
          if (seen >= n) return true;
          if (Date.now() > end) return false;
          Atomics.wait(heard, 0, seen, 100);
        }
      },
    };
  }

  async function start() {
    const server = await startServer();
    const connected = once(server.io, "connection");
    const listener = await startListener(server);
    const [socket] = await connected;
    return { server, listener, socket };
  }

  /** Has a listener of the server act, and resolves with its result. */
  function inListener({ listener, socket }, act) {
    const result = new Promise((resolve) => {
      socket.once("act", (answer) => resolve(act(answer)));
    });
    listener.ask("act");
    return within(result, "the listener", 30000);
  }

  test("an event leaves before its listener returns", async () => {
    const started = await start();
    const { listener, socket } = started;
    const act = () => {
      socket.emit("started");
      return listener.block(1);
    };
    expect(await inListener(started, act)).toBe(true);
  });

  test("a broadcast leaves before its listener returns", async () => {
    const started = await start();
    const { listener, server, socket } = started;
    const act = () => {
      server.io.to(socket.id).emit("started");
      return listener.block(1);
    };
    expect(await inListener(started, act)).toBe(true);
  });

  test("an event leaves before a timer, a promise and an immediate return", async () => {
    const { listener, socket } = await start();
    const act = (n) => () => {
      socket.emit("started");
      return listener.block(n);
    };
    const first = new Promise((resolve) => setTimeout(() => resolve(act(1)()), 1));
    expect(await within(first, "the timer", 30000)).toBe(true);
    expect(await Promise.resolve().then(act(2))).toBe(true);
    const third = new Promise((resolve) => setImmediate(() => resolve(act(3)())));
    expect(await within(third, "the immediate", 30000)).toBe(true);
  });

  const CARRIERS = [
    ["a WebSocket", startServer, "websocket"],
    ["a poll", startServer, "polling"],
    ["a WebSocket behind TLS", startSecureServer, "websocket"],
    ["a poll behind TLS", startSecureServer, "polling"],
  ];
  describe.each(CARRIERS)("over %s", (_, startAny, transport) => {
    /** A function that waits for the next round of the loop, and until every client can be told something. */
    function watchPolls(server, n) {
      // The core takes polls though this thread is busy.
      const isOfCore = server.url.startsWith("http:") && DOOR === "listen" && !isOfficial;
      if (transport === "websocket" || isOfCore) return nextRound;
      const polls = new Set();
      server.httpServer.on("request", (request, response) => {
        if (request.method !== "GET" || !request.url.includes("sid=")) return;
        polls.add(response);
        response.on("close", () => polls.delete(response));
      });
      return async () => {
        await nextRound();
        await eventually(() => polls.size === n);
      };
    }

    test("what is sent leaves before its listener returns", async () => {
      const server = await startAny();
      const connected = once(server.io, "connection");
      const allPoll = watchPolls(server, 1);
      const listener = await startListener(server, { transport });
      const [socket] = await connected;
      const acts = [
        () => socket.emit("started"),
        () => server.io.to(socket.id).emit("room"),
        () => server.io.timeout(10000).emit("ask", () => {}),
        () => socket.disconnect(),
      ];
      for (const [i, act] of acts.entries()) {
        await allPoll();
        act();
        expect(listener.block(i + 1)).toBe(true);
      }
    });

    test("an answer leaves before its listener returns", async () => {
      const server = await startAny();
      const connected = once(server.io, "connection");
      const allPoll = watchPolls(server, 1);
      const listener = await startListener(server, { transport });
      const [socket] = await connected;
      await allPoll();
      const act = (answer) => {
        answer();
        return listener.block(1);
      };
      expect(await inListener({ listener, socket }, act)).toBe(true);
    });

    test("many clients hear before a listener returns", async () => {
      const n = 12;
      const server = await startAny();
      const allPoll = watchPolls(server, n);
      const listener = await startListener(server, { transport, n });
      const sockets = [...server.io.sockets.sockets.values()];
      expect(sockets).toHaveLength(n);
      const acts = [
        () => server.io.emit("all"),
        () => sockets.forEach((socket) => socket.emit("each")),
        () => sockets.forEach((socket) => server.io.to(socket.id).emit("room")),
        () => server.io.disconnectSockets(),
      ];
      for (const [i, act] of acts.entries()) {
        await allPoll();
        act();
        expect(listener.block(n * (i + 1))).toBe(true);
      }
    });
  });

  ferrioOnly("the official server sends the second event to a connection when the tick is over", () => {
    test("several events leave before their listener returns", async () => {
      const started = await start();
      const { listener, socket } = started;
      const act = (answer) => {
        socket.emit("first");
        answer();
        socket.emit("third");
        return listener.block(3);
      };
      expect(await inListener(started, act)).toBe(true);
    });

    test("events that were gathered leave with the next call", async () => {
      const started = await start();
      const { listener, socket } = started;
      const act = () => {
        for (let n = 0; n < 100; n += 1) socket.emit("many", n);
        // Longer than anything is gathered.
        const end = performance.now() + 5;
        while (performance.now() < end);
        socket.emit("next");
        return listener.block(101);
      };
      expect(await inListener(started, act)).toBe(true);
    });
  });
});
