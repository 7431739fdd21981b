"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { ferrioOnly, moduleName, underTest } = require("./support");

/** The declared interfaces, and where their options stand. */
const GROUPS = {
  ServerOptions: "",
  CorsOptions: "cors.",
  CookieOptions: "cookie.",
  CompressionOptions: "httpCompression.",
  MessageCompressionOptions: "perMessageDeflate.",
  ZlibDeflateOptions: "perMessageDeflate.zlibDeflateOptions.",
  RecoveryOptions: "connectionStateRecovery.",
  Limits: "limits.",
  OutboxLimits: "outbox.",
};

/** Every option by its name: its type, if it is one plain type, and its documentation. */
function table() {
  const { native } = require(path.join(moduleName, "bindings-node/dist/native"));
  return new Map(native.NativeServer.optionTable().map((option) => [option.name, option]));
}

/** Every declared option by its name: its type and its documentation, as they are written. */
function declared() {
  const source = fs.readFileSync(path.join(moduleName, "bindings-node/src/options.ts"), "utf8");
  const options = new Map();
  for (const [group, prefix] of Object.entries(GROUPS)) {
    const [, body] = new RegExp(`^export interface ${group} \\{\\n([\\s\\S]*?)^\\}`, "m").exec(source);
    for (const [, name] of body.matchAll(/^ {2}(\w+)\??:/gm)) options.set(prefix + name, {});
    for (const [, comment, name, type] of body.matchAll(/\/\*\*([\s\S]*?)\*\/\n {2}(\w+)\??: (.*);$/gm)) {
      const text = comment
        .replace(/\n {3}\*/g, " ")
        .replace(/\s+/g, " ")
        .trim();
      options.set(prefix + name, { type, text });
    }
  }
  return options;
}

ferrioOnly("socket.io has no table of options, and takes any value", () => {
  test("every option is declared, and nothing else", () => {
    expect([...declared().keys()].sort()).toEqual([...table().keys()].sort());
  });

  test("an option's type and documentation, with its unit, bounds and default, are those of the table", () => {
    const options = declared();
    for (const { name, plainType, text } of table().values()) {
      expect({ name, text: options.get(name).text }).toEqual({ name, text });
      if (plainType !== undefined) expect([name, options.get(name).type]).toEqual([name, plainType]);
    }
  });

  test.each([
    [
      "option `pingInterval` must be a number of milliseconds from 1 to 86400000, not 0",
      RangeError,
      { pingInterval: 0 },
    ],
    [
      "option `pingTimeout` must be a number of milliseconds from 1 to 86400000, not NaN",
      TypeError,
      { pingTimeout: Number.NaN },
    ],
    [
      'option `connectPause` must be a number of milliseconds from 0 to 1000, not "0"',
      TypeError,
      { connectPause: "0" },
    ],
    [
      "option `maxHttpBufferSize` must be a whole number of bytes from 1 to 1073741824, not 1.5",
      TypeError,
      { maxHttpBufferSize: 1.5 },
    ],
    [
      "option `maxHttpBufferSize` must be a whole number of bytes from 1 to 1073741824, not 10n",
      TypeError,
      { maxHttpBufferSize: 10n },
    ],
    ["option `allowEIO3` must be true or false, not null", TypeError, { allowEIO3: null }],
    ["option `allowRequest` must be a function, not true", TypeError, { allowRequest: true }],
    ["there is no option `limits.maxDept`", TypeError, { limits: { maxDept: 1 } }],
    [
      "option `limits.hostQueue` must be a whole number from 16 to 1073741824, not 15",
      RangeError,
      { limits: { hostQueue: 15 } },
    ],
    [
      "option `perMessageDeflate.serverMaxWindowBits` must be a whole number from 8 to 15, or a boolean, not 7",
      RangeError,
      { perMessageDeflate: { serverMaxWindowBits: 7 } },
    ],
    [
      "option `perMessageDeflate.zlibDeflateOptions.level` must be a whole number from -1 to 9, not 10",
      RangeError,
      { perMessageDeflate: { zlibDeflateOptions: { level: 10 } } },
    ],
    [
      "option `perMessageDeflate` must be an object, or true or false, not 1",
      TypeError,
      { perMessageDeflate: 1 },
    ],
    [
      'option `outbox.policy` must be `disconnect`, `drop-oldest` or `drop-newest`, not "wait"',
      RangeError,
      { outbox: { policy: "wait" } },
    ],
    [
      'option `transports` must be a list of `polling` and `websocket`, not "smoke"',
      RangeError,
      { transports: ["smoke"] },
    ],
    [
      'option `cookie.sameSite` must be `lax`, `strict`, `none`, true or false, not "perhaps"',
      TypeError,
      { cookie: { sameSite: "perhaps" } },
    ],
    [
      "option `connectionStateRecovery.maxPackets` must be a whole number, at least 1, not 0",
      RangeError,
      { connectionStateRecovery: { maxPackets: 0 } },
    ],
    [
      'option `cors.origin` must be text that an HTTP header can hold, not "http://a\\n"',
      RangeError,
      { cors: { origin: "http://a\n" } },
    ],
  ])(
    "a bad option is refused by its name, with what it may be and what it was: %s",
    (message, kind, options) => {
      // Not by class: jest runs tests in a realm of their own, with error classes of its own.
      const refusal = expect.objectContaining({ name: kind.name, message });
      expect(() => new underTest.Server(options)).toThrow(refusal);
    },
  );

  test.each([
    { wsEngine: () => {}, adapter: undefined, somethingElse: 1n },
    { transports: ["polling", "websocket", "webtransport"], perMessageDeflate: { threshold: 1 } },
    {
      cors: { origin: [/^a$/, "b", true], methods: ["GET"], allowedHeaders: "a, b", maxAge: 10, unknown: 1 },
    },
    {
      perMessageDeflate: {
        threshold: undefined,
        serverNoContextTakeover: undefined,
        clientMaxWindowBits: false,
        zlibDeflateOptions: { level: -1, memLevel: 7, windowBits: 13, chunkSize: 1024 },
        zlibInflateOptions: { chunkSize: 10 * 1024 },
        concurrencyLimit: 10,
        somethingElse: 1,
      },
    },
    { cors: null, cookie: false, connectionStateRecovery: false, httpCompression: false },
    { cookie: { name: "sid", expires: new Date(), maxAge: 1.5, path: false, sameSite: "None" } },
    {
      httpCompression: { threshold: 10, level: 6 },
      connectionStateRecovery: { maxDisconnectionDuration: 1e6 },
    },
  ])("every form of socket.io's options is accepted, %#", (options) => {
    new underTest.Server(options);
  });
});
