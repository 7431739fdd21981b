"use strict";

const http = require("node:http");
const zlib = require("node:zlib");
const {
  POLLING,
  UPGRADE,
  WEBSOCKET,
  RawWebSocket,
  SEPARATOR,
  barrier,
  connected,
  once,
  openPolling,
  openWebSocket,
  refusedWebSocket,
  request,
  startServer,
  upgraded,
} = require("./support");

/** The numbers from 0 to `count` - 1. */
const upTo = (count) => Array.from({ length: count }, (_, n) => n);

/** Emits numbered events both ways, a few per turn of the event loop, until `enough`; returns what each side heard and sent. */
async function exchange({ client, socket }, enough, wrap = (n) => n) {
  const up = [];
  const down = [];
  socket.on("up", (n) => up.push(n));
  client.on("down", (n) => down.push(n));
  let sent = 0;
  while (!enough(sent)) {
    for (let n = 0; n < 3; n += 1) {
      client.emit("up", wrap(sent));
      socket.emit("down", wrap(sent));
      sent += 1;
    }
    await new Promise(setImmediate);
  }
  await barrier(client);
  return { up, down, sent };
}

/** Becomes true when the connection has run over WebSocket for some turns of the event loop. */
function upgradedFor(turns, { engine }) {
  let left = turns;
  return () => {
    if (engine.transport.name === "websocket") left -= 1;
    return left < 0;
  };
}

/** Runs events and acks in both directions. */
async function checkTraffic({ client, socket }) {
  socket.on("ask", (value, answer) => answer(`server ${value}`));
  client.on("ask", (value, answer) => answer(`client ${value}`));
  expect(await client.timeout(10000).emitWithAck("ask", 1)).toBe("server 1");
  expect(await socket.timeout(10000).emitWithAck("ask", 2)).toBe("client 2");
  const { up, down } = await exchange({ client, socket }, (sent) => sent >= 30);
  expect(up).toEqual(upTo(30));
  expect(down).toEqual(upTo(30));
}

/** The error that the engine answers to a bad request. */
async function refusal(server, path, options) {
  const answer = await request(server, path, options);
  return [answer.status, JSON.parse(answer.text)];
}

describe("transports", () => {
  test("long-polling alone carries events and acks both ways", async () => {
    const server = await startServer();
    const pair = await server.pair("/", POLLING);
    await checkTraffic(pair);
    expect(pair.socket.conn.transport.name).toBe("polling");
    expect(pair.client.io.engine.transport.name).toBe("polling");
  });

  test("WebSocket alone carries events and acks both ways", async () => {
    const server = await startServer();
    const pair = await server.pair("/", WEBSOCKET);
    await checkTraffic(pair);
    expect(pair.socket.conn.transport.name).toBe("websocket");
  });

  test("a client upgrades from long-polling to WebSocket", async () => {
    const server = await startServer();
    const pair = await server.pair("/", UPGRADE);
    await upgraded(pair.client);
    await checkTraffic(pair);
    expect(pair.socket.conn.transport.name).toBe("websocket");
    expect(pair.client.connected).toBe(true);
  });

  test("an upgrade under traffic in both directions loses and reorders nothing", async () => {
    const server = await startServer();
    const pair = await server.pair("/", UPGRADE);
    const { up, down, sent } = await exchange(pair, upgradedFor(100, pair.client.io));
    expect(up).toEqual(upTo(sent));
    expect(down).toEqual(upTo(sent));
    expect(pair.socket.conn.transport.name).toBe("websocket");
  });

  test("many clients upgrade under traffic at once", async () => {
    const server = await startServer();
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const pair = await server.pair("/", UPGRADE);
        const { up, down, sent } = await exchange(pair, upgradedFor(20, pair.client.io));
        expect(up).toEqual(upTo(sent));
        expect(down).toEqual(upTo(sent));
      }),
    );
  });

  test("bytes sent during an upgrade arrive whole and in order", async () => {
    const server = await startServer();
    const pair = await server.pair("/", UPGRADE);
    const wrap = (n) => ({ n, bytes: Buffer.from(`bytes ${n}`) });
    const { up, down, sent } = await exchange(pair, upgradedFor(20, pair.client.io), wrap);
    expect(up).toStrictEqual(upTo(sent).map(wrap));
    expect(down).toStrictEqual(upTo(sent).map(wrap));
  });

  test("allowUpgrades false keeps a client on long-polling", async () => {
    const server = await startServer({ allowUpgrades: false });
    const pair = await server.pair("/", UPGRADE);
    await checkTraffic(pair);
    expect(pair.client.io.engine.transport.name).toBe("polling");
    const session = await openPolling(server);
    expect(session.handshake.upgrades).toEqual([]);
  });

  test("transports restricted to polling refuse a WebSocket", async () => {
    const server = await startServer({ transports: ["polling"] });
    const client = server.client("/", WEBSOCKET);
    await once(client, "connect_error");
    expect((await refusedWebSocket(server, "/socket.io/?EIO=4&transport=websocket")).status).toBe(400);
    await server.connect("/", POLLING);
  });

  test("transports restricted to WebSocket refuse long-polling", async () => {
    const server = await startServer({ transports: ["websocket"] });
    const client = server.client("/", POLLING);
    await once(client, "connect_error");
    expect(await refusal(server, "/socket.io/?EIO=4&transport=polling")).toEqual([
      400,
      { code: 0, message: "Transport unknown" },
    ]);
    await server.connect("/", WEBSOCKET);
  });

  test("a client falls back to long-polling when WebSocket is refused", async () => {
    const server = await startServer({ transports: ["polling"] });
    const client = server.client("/", { transports: ["websocket", "polling"], tryAllTransports: true });
    await connected(client);
    expect(client.io.engine.transport.name).toBe("polling");
  });

  test("a probe that never completes leaves long-polling working", async () => {
    const server = await startServer({ upgradeTimeout: 100 });
    const session = await openPolling(server);
    const left = await openWebSocket(server, { sid: session.sid });
    left.send("2probe");
    expect(await left.next()).toBe("3probe");
    left.close();
    await left.closeCode();
    const late = await openWebSocket(server, { sid: session.sid });
    late.send("2probe");
    expect(await late.next()).toBe("3probe");
    await late.closeCode();
    await session.post('421["barrier"]');
    const packets = [];
    while (!packets.includes("431[]")) packets.push(...(await session.packets()));
    expect(packets.filter((packet) => packet !== "6")).toEqual(["431[]"]);
  });

  test("an upgrade that is not asked for by the session's protocol version is refused", async () => {
    const server = await startServer({ allowEIO3: true });
    const session = await openPolling(server);
    expect(
      (await refusedWebSocket(server, `/socket.io/?EIO=3&transport=websocket&sid=${session.sid}`)).status,
    ).toBe(400);
    const answer = await refusal(server, `/socket.io/?EIO=3&transport=polling&sid=${session.sid}`);
    expect(answer).toEqual([400, { code: 3, message: "Bad request" }]);
    await session.post('421["barrier"]');
    expect(await session.packets()).toEqual(["431[]"]);
  });

  test("the server's pings keep an idle connection open", async () => {
    const server = await startServer({ pingInterval: 30, pingTimeout: 5000 });
    for (const transport of [WEBSOCKET, POLLING]) {
      const { client, socket } = await server.pair("/", transport);
      for (let n = 0; n < 5; n += 1) await once(client.io.engine, "ping");
      await barrier(client);
      expect(socket.connected).toBe(true);
    }
  });

  test("an own path serves the engine and other paths do not", async () => {
    const server = await startServer(
      { path: "/own/way" },
      { routes: (_, response) => response.writeHead(404).end("the host's") },
    );
    const pair = await server.pair("/", { path: "/own/way", ...UPGRADE });
    await upgraded(pair.client);
    await checkTraffic(pair);
    const answer = await request(server, "/socket.io/?EIO=4&transport=polling");
    expect([answer.status, answer.text]).toEqual([404, "the host's"]);
  });

  test('an unknown transport is code 0 "Transport unknown"', async () => {
    const server = await startServer();
    const expected = [400, { code: 0, message: "Transport unknown" }];
    expect(await refusal(server, "/socket.io/?EIO=4&transport=pigeon")).toEqual(expected);
    expect(await refusal(server, "/socket.io/?EIO=4")).toEqual(expected);
    expect(await refusal(server, "/socket.io/?EIO=4&transport=constructor")).toEqual(expected);
  });

  test('an unknown session is code 1 "Session ID unknown"', async () => {
    const server = await startServer();
    for (const sid of ["unknown", "__proto__", "%F0%9F%98%80"]) {
      const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
      expect(await refusal(server, path)).toEqual([400, { code: 1, message: "Session ID unknown" }]);
      expect(
        (await refusedWebSocket(server, `/socket.io/?EIO=4&transport=websocket&sid=${sid}`)).status,
      ).toBe(400);
    }
  });

  test('a handshake by POST is code 2 "Bad handshake method"', async () => {
    const server = await startServer();
    for (const [method, body] of [
      ["POST", "40"],
      ["PUT", "40"],
      ["DELETE", undefined],
    ]) {
      const answer = await refusal(server, "/socket.io/?EIO=4&transport=polling", { method, body });
      expect(answer).toEqual([400, { code: 2, message: "Bad handshake method" }]);
    }
  });

  test('a request of another transport for the session is code 3 "Bad request"', async () => {
    const server = await startServer();
    const expected = [400, { code: 3, message: "Bad request" }];
    const session = await openPolling(server);
    expect(await refusal(server, `/socket.io/?EIO=4&transport=websocket&sid=${session.sid}`)).toEqual(
      expected,
    );
    expect(await refusal(server, "/socket.io/?EIO=4&transport=websocket")).toEqual(expected);
    const { client } = await server.pair("/", WEBSOCKET);
    expect(await refusal(server, `/socket.io/?EIO=4&transport=polling&sid=${client.io.engine.id}`)).toEqual(
      expected,
    );
    await barrier(client);
  });

  test("a refusal of allowRequest is code 4 with its message", async () => {
    const allowRequest = (asked, answer) => {
      const isGood = asked.headers["x-token"] === "good";
      setImmediate(answer, isGood ? null : "no token", isGood);
    };
    const server = await startServer({ allowRequest });
    const path = "/socket.io/?EIO=4&transport=polling";
    expect(await refusal(server, path)).toEqual([403, { code: 4, message: "no token" }]);
    expect((await refusedWebSocket(server, "/socket.io/?EIO=4&transport=websocket")).status).toBe(400);
    for (const transport of [POLLING, WEBSOCKET, UPGRADE]) {
      const client = await server.connect("/", { ...transport, extraHeaders: { "X-Token": "good" } });
      await barrier(client);
    }
    expect(await server.io.fetchSockets()).toHaveLength(3);
  });

  test("a cookie is set when so configured", async () => {
    const plain = await startServer();
    const without = await request(plain, "/socket.io/?EIO=4&transport=polling");
    expect(without.headers["set-cookie"]).toBeUndefined();
    const server = await startServer({ cookie: { name: "sticky", path: "/own", sameSite: "strict" } });
    const session = await openPolling(server, { join: false });
    await session.post("40");
    expect((await session.poll()).headers["set-cookie"]).toBeUndefined();
    const answer = await request(server, "/socket.io/?EIO=4&transport=polling");
    const { sid } = JSON.parse(answer.text.slice(1));
    expect(answer.headers["set-cookie"]).toEqual([`sticky=${sid}; Path=/own; HttpOnly; SameSite=Strict`]);
  });

  test("an unsupported protocol version is code 5", async () => {
    const server = await startServer();
    const expected = [400, { code: 5, message: "Unsupported protocol version" }];
    for (const version of ["EIO=3&", "EIO=2&", "EIO=5&", "EIO=abc&", ""]) {
      expect(await refusal(server, `/socket.io/?${version}transport=polling`)).toEqual(expected);
      // The official server answers the upgrade before it looks at the version, then breaks the connection off.
      const socket = new RawWebSocket(
        `${server.url.replace("http", "ws")}/socket.io/?${version}transport=websocket`,
      );
      expect(await socket.next()).toBeUndefined();
    }
  });

  test("two polls at the same time close the session", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const [socket] = server.sockets.values();
    const gone = once(socket, "disconnect");
    const answers = await Promise.all([session.poll(), session.poll()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
    expect(answers.find(({ status }) => status === 200).text).toBe("1");
    expect((await gone)[0]).toBe("transport error");
    expect((await session.poll()).status).toBe(400);
  });

  test("two posts at the same time close the session", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const [socket] = server.sockets.values();
    const gone = once(socket, "disconnect");
    const first = http.request(server.url + session.path, {
      method: "POST",
      agent: false,
      headers: { "Content-Length": 100, Expect: "100-continue" },
    });
    first.on("error", () => {});
    first.flushHeaders();
    await once(first, "continue");
    first.write("42");
    expect((await session.post('42["barrier"]')).status).toBe(400);
    expect((await gone)[0]).toBe("transport error");
    first.destroy();
    expect((await session.poll()).status).toBe(400);
  });

  test("a post that is given up before its body closes the session", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const [socket] = server.sockets.values();
    const gone = once(socket, "disconnect");
    const post = http.request(server.url + session.path, {
      method: "POST",
      agent: false,
      headers: { "Content-Length": 100, Expect: "100-continue" },
    });
    post.on("error", () => {});
    post.flushHeaders();
    await once(post, "continue");
    post.destroy();
    expect((await gone)[0]).toBe("transport error");
    expect((await session.poll()).status).toBe(400);
  });

  test("a polling payload with an invalid packet closes the session", async () => {
    const server = await startServer();
    for (const payload of ["abc", "", `42["fine"]${SEPARATOR}x`, `${SEPARATOR}${SEPARATOR}`, "9"]) {
      const session = await openPolling(server);
      // The official server closes the session and answers 200 all the same.
      expect([200, 400]).toContain((await session.post(payload)).status);
      // A server may tell the client of the end, at the poll that comes next.
      const told = await session.poll();
      if (told.status === 200) expect(told.text.split(SEPARATOR).at(-1)).toBe("1");
      expect(await refusal(server, session.path)).toEqual([400, { code: 1, message: "Session ID unknown" }]);
    }
    await server.connect();
  });

  test("a poll under way is answered when the client closes", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const poll = await session.startPoll();
    const gone = once([...server.sockets.values()][0], "disconnect");
    await session.post("1");
    const answer = await poll.answer;
    expect([answer.status, answer.text]).toEqual([200, "6"]);
    expect((await gone)[0]).toBe("transport close");
    expect((await session.poll()).status).toBe(400);
  });

  test("a binary post is refused in protocol 4", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const answer = await session.post(Buffer.from("40"), {
      headers: { "Content-Type": "application/octet-stream" },
    });
    expect(answer.status).toBe(400);
    expect((await session.poll()).status).toBe(400);
  });
});

describe("compression of polling answers", () => {
  const text = "compress me ".repeat(200);

  /** The answer to a poll that waits for one event of the server. */
  async function pollFor(server, value, encoding) {
    const session = await openPolling(server);
    [...server.sockets.values()].at(-1).emit("text", value);
    return session.poll({ headers: encoding ? { "Accept-Encoding": encoding } : {} });
  }

  test("a polling answer above the threshold is compressed when the client accepts it", async () => {
    const server = await startServer();
    const expected = `42${JSON.stringify(["text", text])}`;
    const gzip = await pollFor(server, text, "gzip, deflate, br");
    expect(gzip.headers["content-encoding"]).toBe("gzip");
    expect(zlib.gunzipSync(gzip.body).toString()).toBe(expected);
    const deflate = await pollFor(server, text, "deflate");
    expect(deflate.headers["content-encoding"]).toBe("deflate");
    expect(zlib.inflateSync(deflate.body).toString()).toBe(expected);
    const plain = await pollFor(server, text);
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(plain.text).toBe(expected);
  });

  test("a polling answer below the threshold is not compressed", async () => {
    const server = await startServer();
    const small = await pollFor(server, "small", "gzip");
    expect(small.headers["content-encoding"]).toBeUndefined();
    expect(small.text).toBe('42["text","small"]');
    const below = "x".repeat(500);
    expect((await pollFor(server, below, "gzip")).headers["content-encoding"]).toBeUndefined();
    const eager = await startServer({ httpCompression: { threshold: 100 } });
    expect((await pollFor(eager, below, "gzip")).headers["content-encoding"]).toBe("gzip");
  });

  test("a polling answer is not compressed when compression is off", async () => {
    const server = await startServer({ httpCompression: false });
    const answer = await pollFor(server, text, "gzip");
    expect(answer.headers["content-encoding"]).toBeUndefined();
    expect(answer.text).toBe(`42${JSON.stringify(["text", text])}`);
  });
});

describe("cors", () => {
  const ORIGIN = "https://app.example";

  /** The CORS headers of the answer to a handshake from `origin`. */
  async function headersFor(cors, origin = ORIGIN) {
    const server = await startServer(cors === undefined ? {} : { cors });
    const answer = await request(server, "/socket.io/?EIO=4&transport=polling", {
      headers: { Origin: origin },
    });
    expect(answer.status).toBe(200);
    return answer.headers;
  }

  async function allowedOrigin(cors, origin) {
    return (await headersFor(cors, origin))["access-control-allow-origin"];
  }

  test("without the cors option no CORS headers are sent", async () => {
    const headers = await headersFor(undefined);
    expect(Object.keys(headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
  });

  test("cors with one origin names that origin", async () => {
    const headers = await headersFor({ origin: ORIGIN });
    expect(headers["access-control-allow-origin"]).toBe(ORIGIN);
    expect(headers.vary).toMatch(/origin/i);
    expect(await allowedOrigin({ origin: ORIGIN }, "https://other.example")).toBe(ORIGIN);
  });

  test("cors with a list names the origin that asks, if it is listed", async () => {
    const cors = { origin: [ORIGIN, "https://second.example"] };
    expect(await allowedOrigin(cors, "https://second.example")).toBe("https://second.example");
    expect(await allowedOrigin(cors, "https://other.example")).toBeUndefined();
  });

  test("cors with a pattern names the origins that match", async () => {
    for (const origin of [/\.example$/, [/\.example$/, "https://listed.test"]]) {
      expect(await allowedOrigin({ origin }, ORIGIN)).toBe(ORIGIN);
      expect(await allowedOrigin({ origin }, "https://app.test")).toBeUndefined();
    }
  });

  test("cors with a function asks it", async () => {
    const origin = (asked, answer) => answer(null, asked === ORIGIN);
    expect(await allowedOrigin({ origin }, ORIGIN)).toBe(ORIGIN);
    expect(await allowedOrigin({ origin }, "https://other.example")).toBeUndefined();
  });

  test("cors with `*` names every origin", async () => {
    expect(await allowedOrigin({ origin: "*" })).toBe("*");
  });

  test("cors with credentials says so", async () => {
    const headers = await headersFor({ origin: ORIGIN, credentials: true });
    expect(headers["access-control-allow-credentials"]).toBe("true");
    expect((await headersFor({ origin: ORIGIN }))["access-control-allow-credentials"]).toBeUndefined();
  });

  test("a preflight request is answered with methods and headers", async () => {
    const server = await startServer({ cors: { origin: ORIGIN, methods: ["GET", "POST"] } });
    const answer = await request(server, "/socket.io/?EIO=4&transport=polling", {
      method: "OPTIONS",
      headers: {
        Origin: ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-token",
      },
    });
    expect(answer.status).toBe(204);
    expect(answer.text).toBe("");
    expect(answer.headers["access-control-allow-origin"]).toBe(ORIGIN);
    expect(answer.headers["access-control-allow-methods"].split(/, ?/)).toEqual(["GET", "POST"]);
    expect(answer.headers["access-control-allow-headers"]).toBe("content-type,x-token");
  });

  test("polls and posts carry the CORS headers too", async () => {
    const server = await startServer({ cors: { origin: ORIGIN, credentials: true } });
    const session = await openPolling(server, { join: false });
    const options = { headers: { Origin: ORIGIN } };
    const posted = await session.post("40", options);
    const polled = await session.poll(options);
    for (const { headers } of [posted, polled]) {
      expect(headers["access-control-allow-origin"]).toBe(ORIGIN);
      expect(headers["access-control-allow-credentials"]).toBe("true");
    }
  });
});
