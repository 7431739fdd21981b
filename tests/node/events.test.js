"use strict";

const { POLLING, WEBSOCKET, barrier, once, record, startServer } = require("./support");

const JSON_VALUES = [
  0,
  -0.5,
  1e300,
  Number.MAX_SAFE_INTEGER,
  "",
  "text",
  true,
  false,
  null,
  [],
  {},
  [[[]]],
  [1, "two", { three: [null] }],
  { a: { b: { c: {} } } },
  { "": 1, " ": 2, ключ: 3, "a.b": 4, '"quoted"': 5, "line\nbreak": 6 },
];

const TEXTS = [
  "Привет",
  "你好，世界",
  "مرحبا",
  "नमस्ते",
  "こんにちは",
  "\u{1f600}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
  "e\u0301 é",
  "\u0000\u0001\u001e\u001f\u007f\u0080\u009f",
  "\u2028\u2029\ufeff\ufffe\uffff",
  "\\ \" ' / \b\f\n\r\t",
  "\u{10ffff}",
  "b4AQID",
  "2probe",
];

/** A server whose sockets answer `echo` with an event `echo` of the same arguments. */
async function startEchoServer(options) {
  const server = await startServer(options);
  server.io.on("connection", (socket) => socket.on("echo", (...args) => socket.emit("echo", ...args)));
  return server;
}

/** Sends the arguments to the server and back. */
async function echo(client, ...args) {
  const answer = once(client, "echo");
  client.emit("echo", ...args);
  return answer;
}

/** Sends the arguments to the server and returns what it heard. */
async function sendUp({ client, socket }, ...args) {
  const heard = once(socket, "up");
  client.emit("up", ...args);
  return heard;
}

/** Sends the arguments to the client and returns what it heard. */
async function sendDown({ client, socket }, ...args) {
  const heard = once(client, "down");
  socket.emit("down", ...args);
  return heard;
}

describe("events", () => {
  test("every kind of JSON value reaches the server unchanged", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, POLLING]) {
      const pair = await server.pair("/", transport);
      for (const value of JSON_VALUES) expect(await sendUp(pair, value)).toStrictEqual([value]);
      expect(await sendUp(pair, JSON_VALUES)).toStrictEqual([JSON_VALUES]);
    }
  });

  test("every kind of JSON value reaches the client unchanged", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, POLLING]) {
      const pair = await server.pair("/", transport);
      for (const value of JSON_VALUES) expect(await sendDown(pair, value)).toStrictEqual([value]);
      expect(await sendDown(pair, JSON_VALUES)).toStrictEqual([JSON_VALUES]);
    }
  });

  test("text in every script, surrogate pairs and control characters survive both ways", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, POLLING]) {
      const pair = await server.pair("/", transport);
      for (const text of TEXTS) {
        expect(await sendUp(pair, text, { [text]: text })).toStrictEqual([text, { [text]: text }]);
        expect(await sendDown(pair, text, { [text]: text })).toStrictEqual([text, { [text]: text }]);
      }
    }
  });

  test("a lone surrogate does not break the connection", async () => {
    const server = await startServer();
    const pair = await server.pair();
    for (const text of ["\ud800", "a\udfffb", "\udc00\ud800"]) {
      expect(await sendUp(pair, text, { [text]: 1 })).toStrictEqual([text, { [text]: 1 }]);
      expect(await sendDown(pair, text, { [text]: 1 })).toStrictEqual([text, { [text]: 1 }]);
      const heard = once(pair.socket, text);
      pair.client.emit(text, "by name");
      expect(await heard).toEqual(["by name"]);
    }
  });

  test("an event without arguments has none on the other side", async () => {
    const server = await startServer();
    const pair = await server.pair();
    expect(await sendUp(pair)).toEqual([]);
    expect(await sendDown(pair)).toEqual([]);
  });

  test("many arguments arrive in their order", async () => {
    const server = await startServer();
    const pair = await server.pair();
    const args = Array.from({ length: 200 }, (_, n) => (n % 2 ? n : `argument ${n}`));
    expect(await sendUp(pair, ...args)).toEqual(args);
    expect(await sendDown(pair, ...args)).toEqual(args);
  });

  test("undefined becomes null inside arrays and disappears from objects", async () => {
    const server = await startServer();
    const pair = await server.pair();
    const sent = [
      undefined,
      null,
      [undefined, 1],
      { gone: undefined, kept: null, also: () => {} },
      NaN,
      Infinity,
    ];
    const arrived = [null, null, [null, 1], { kept: null }, null, null];
    expect(await sendUp(pair, ...sent)).toStrictEqual(arrived);
    expect(await sendDown(pair, ...sent)).toStrictEqual(arrived);
    const date = new Date(0);
    expect(await sendDown(pair, date, { toJSON: () => "own form" })).toStrictEqual([
      date.toISOString(),
      "own form",
    ]);
  });

  test("a `__proto__` key stays plain data and pollutes nothing", async () => {
    const server = await startServer();
    const pair = await server.pair();
    const text = '{"__proto__":{"polluted":true},"list":[{"__proto__":1}]}';
    for (const [value] of [await sendUp(pair, JSON.parse(text)), await sendDown(pair, JSON.parse(text))]) {
      expect(JSON.stringify(value)).toBe(text);
      expect(Object.getPrototypeOf(value)).toBe(Object.getPrototypeOf(JSON.parse("{}")));
    }
    expect({}.polluted).toBeUndefined();
    const heard = once(pair.socket, "__proto__");
    pair.client.emit("__proto__", 1);
    expect(await heard).toEqual([1]);
  });

  test("keys such as `constructor`, `toString` and `_placeholder` stay plain data", async () => {
    const server = await startServer();
    const pair = await server.pair();
    const value = {
      constructor: { prototype: { polluted: true } },
      toString: "no function",
      hasOwnProperty: 1,
      length: -1,
      _placeholder: true,
      num: 0,
      attachments: 3,
    };
    const sent = JSON.stringify([value, "behind"]);
    expect(JSON.stringify(await sendUp(pair, value, "behind"))).toBe(sent);
    expect(JSON.stringify(await sendDown(pair, value, "behind"))).toBe(sent);
    expect({}.polluted).toBeUndefined();
  });

  test("an event name may be any text, also one that looks like a packet", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    for (const name of [
      "",
      " ",
      "0",
      '42["x"]',
      "2probe",
      "with,comma",
      '"quoted"',
      "ключ",
      "\u0000",
      "constructor",
      "toString",
      "message",
    ]) {
      const up = once(socket, name);
      client.emit(name, name);
      expect(await up).toEqual([name]);
      const down = once(client, name);
      socket.emit(name, name);
      expect(await down).toEqual([name]);
    }
  });

  test("numbers keep their precision", async () => {
    const server = await startServer();
    const pair = await server.pair();
    const numbers = [
      0.1,
      0.1 + 0.2,
      1 / 3,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      2 ** 53 + 2,
      1e21,
      Number.MAX_VALUE,
      Number.MIN_VALUE,
      Number.EPSILON,
      4294967295,
      -2147483648,
      123456789012345680000,
    ];
    expect(await sendUp(pair, ...numbers)).toStrictEqual(numbers);
    expect(await sendDown(pair, ...numbers)).toStrictEqual(numbers);
  });

  test("a nested structure of a hundred levels survives both ways", async () => {
    const server = await startServer();
    const pair = await server.pair();
    let value = "bottom";
    for (let level = 0; level < 100; level += 1) value = level % 2 ? [value] : { level, value };
    expect(await sendUp(pair, value)).toStrictEqual([value]);
    expect(await sendDown(pair, value)).toStrictEqual([value]);
  });

  for (const [title, transport] of [
    ["a payload of half a megabyte survives both ways over WebSocket", WEBSOCKET],
    ["a payload of half a megabyte survives both ways over long-polling", POLLING],
  ]) {
    test(title, async () => {
      const server = await startServer();
      const pair = await server.pair("/", transport);
      const text = "0123456789 größe ".repeat(28000);
      const [up] = await sendUp(pair, text);
      expect(up === text).toBe(true);
      const [down] = await sendDown(pair, text);
      expect(down === text).toBe(true);
    });
  }

  test("a thousand events from the client arrive in order", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const heard = [];
    socket.on("n", (n) => heard.push(n));
    for (let n = 0; n < 1000; n += 1) client.emit("n", n);
    await barrier(client);
    expect(heard).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  });

  test("a thousand events from the server arrive in order", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const heard = [];
    client.on("n", (n) => heard.push(n));
    for (let n = 0; n < 1000; n += 1) {
      if (n % 3 === 0) server.io.emit("n", n);
      else socket.emit("n", n);
    }
    await barrier(client);
    expect(heard).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  });

  test("a thousand events over long-polling arrive in order in both directions", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair("/", POLLING);
    const up = [];
    const down = [];
    socket.on("n", (n) => {
      up.push(n);
      socket.emit("n", n);
    });
    client.on("n", (n) => down.push(n));
    for (let n = 0; n < 1000; n += 1) {
      client.emit("n", n);
      if (n % 100 === 0) await barrier(client);
    }
    await barrier(client);
    const expected = Array.from({ length: 1000 }, (_, n) => n);
    expect(up).toEqual(expected);
    expect(down).toEqual(expected);
  });

  test("a listener registered with once hears the first event only", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const first = jest.fn();
    const every = jest.fn();
    socket.once("tick", first);
    socket.on("tick", every);
    client.emit("tick", 1);
    client.emit("tick", 2);
    await barrier(client);
    expect(first.mock.calls).toEqual([[1]]);
    expect(every.mock.calls).toEqual([[1], [2]]);
  });

  test("a removed listener hears nothing", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const removed = jest.fn();
    const kept = jest.fn();
    socket.on("tick", removed);
    socket.on("tick", kept);
    socket.off("tick", removed);
    client.emit("tick", 1);
    await barrier(client);
    socket.removeAllListeners("tick");
    client.emit("tick", 2);
    await barrier(client);
    expect(removed).not.toHaveBeenCalled();
    expect(kept.mock.calls).toEqual([[1]]);
  });

  test("catch-all listeners hear every event before its own listener", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const order = [];
    socket.on("known", (n) => order.push(["listener", n]));
    socket.onAny((event, ...args) => event !== "barrier" && order.push(["any", event, ...args]));
    client.emit("known", 1);
    await barrier(client);
    client.emit("unknown", 2, 3);
    await barrier(client);
    expect(order).toEqual([
      ["any", "known", 1],
      ["listener", 1],
      ["any", "unknown", 2, 3],
    ]);
  });

  test("catch-all listeners can be put first and taken away", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const order = [];
    const first = (event) => event !== "barrier" && order.push("first");
    const second = (event) => event !== "barrier" && order.push("second");
    socket.onAny(second);
    socket.prependAny(first);
    expect(socket.listenersAny()).toEqual([first, second]);
    client.emit("event");
    await barrier(client);
    socket.offAny(first);
    client.emit("event");
    await barrier(client);
    socket.offAny();
    client.emit("event");
    await barrier(client);
    expect(order).toEqual(["first", "second", "second"]);
  });

  test("catch-all listeners hear outgoing events", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const sent = [];
    socket.onAnyOutgoing((...args) => sent.push(args));
    socket.join("room");
    socket.emit("to one", 1, { two: 2 });
    server.io.to("room").emit("to room", Buffer.from("b"));
    server.io.to("elsewhere").emit("not to me");
    await barrier(client);
    expect(sent).toStrictEqual([
      ["to one", 1, { two: 2 }],
      ["to room", Buffer.from("b")],
    ]);
    socket.offAnyOutgoing();
    socket.emit("unheard");
    expect(sent).toHaveLength(2);
  });

  test("a reserved event name cannot be emitted", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    for (const name of [
      "connect",
      "connect_error",
      "disconnect",
      "disconnecting",
      "newListener",
      "removeListener",
    ]) {
      expect(() => socket.emit(name, 1)).toThrow(`"${name}" is a reserved event name`);
      expect(() => server.io.emit(name, 1)).toThrow(`"${name}" is a reserved event name`);
      expect(() => server.io.to("room").emit(name, 1)).toThrow(`"${name}" is a reserved event name`);
    }
    await barrier(client);
    expect(client.connected).toBe(true);
  });

  test("a value that JSON cannot carry throws where it is emitted", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const heard = record(client);
    const circle = {};
    circle.self = circle;
    for (const value of [10n, { nested: [10n] }, circle]) {
      expect(() => socket.emit("down", value)).toThrow();
      expect(() => server.io.emit("down", value)).toThrow();
    }
    socket.emit("down", "fine");
    await barrier(client);
    expect(heard).toEqual([["down", "fine"]]);
  });

  test("send is an event named message", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const up = once(socket, "message");
    client.send("hello", 1);
    expect(await up).toEqual(["hello", 1]);
    const heard = record(client);
    socket.send("to one");
    server.io.send("to all");
    await barrier(client);
    expect(heard).toEqual([
      ["message", "to one"],
      ["message", "to all"],
    ]);
  });

  test("an event nobody listens for does no harm", async () => {
    const server = await startEchoServer();
    const client = await server.connect();
    client.emit("nobody listens", { at: "all" }, Buffer.from("bytes"), () => {});
    client.emit("error", new Error("not one"));
    expect(await echo(client, "alive")).toEqual(["alive"]);
  });
});
