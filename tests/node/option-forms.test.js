"use strict";

/** Forms of options that socket.io takes though its declarations do not have them. Applications use each of them. */

const { POLLING, WEBSOCKET, connected, openWebSocket, request, startServer } = require("./support");

const PAGE = "http://page.example";
const OTHER = "http://other.example";

const ALLOW_ORIGIN = "access-control-allow-origin";

/** Asks for a session as a page of `origin` does. */
function handshake(server, origin = PAGE) {
  return request(server, "/socket.io/?EIO=4&transport=polling", { headers: { Origin: origin } });
}

function preflight(server, origin = PAGE) {
  return request(server, "/socket.io/?EIO=4&transport=polling", {
    method: "OPTIONS",
    headers: { Origin: origin, "Access-Control-Request-Method": "POST" },
  });
}

async function allowedOrigin(cors, origin) {
  return (await handshake(await startServer({ cors }), origin)).headers[ALLOW_ORIGIN];
}

/** What the server says of itself when a session opens. */
async function welcome(options) {
  const answer = await handshake(await startServer(options));
  return JSON.parse(answer.text.slice(1));
}

describe("option forms", () => {
  test.each([
    { maxHttpBufferSize: Number.POSITIVE_INFINITY },
    { maxHttpBufferSize: 1e16 },
    { maxHttpBufferSize: "100000" },
    { pingTimeout: 999999999, pingInterval: 999999999, connectTimeout: 999999999 },
    { upgradeTimeout: "5000", connectTimeout: "1000" },
    { connectionStateRecovery: { maxDisconnectionDuration: 1e10 } },
    { connectionStateRecovery: { maxDisconnectionDuration: "60000" } },
    { cors: "*" },
    { cors: PAGE },
    { allowRequest: null, parser: null, cors: null, cookie: null },
    { transports: ["websocket", "flashsocket", "htmlfile", "xhr-polling", "jsonp-polling", "polling"] },
  ])("clients connect, %#", async (options) => {
    const server = await startServer(options);
    for (const transport of [POLLING, WEBSOCKET]) await connected(server.client("/", transport));
  });

  test("a number may be the text of an environment variable", async () => {
    const { pingInterval, pingTimeout, maxPayload } = await welcome({
      pingInterval: "2000",
      pingTimeout: "5000",
      maxHttpBufferSize: "7000",
    });
    expect([pingInterval, pingTimeout, maxPayload].map(Number)).toEqual([2000, 5000, 7000]);
  });

  test("the only transport may be named without a list", async () => {
    const server = await startServer({ transports: "websocket" });
    await connected(server.client("/", WEBSOCKET));
    expect((await handshake(server)).status).toBe(400);
  });

  test("any text as rules for origins allows all", async () => {
    for (const cors of ["*", PAGE]) expect(await allowedOrigin(cors, OTHER)).toBe("*");
  });

  test("an origin that is given, but empty, allows none", async () => {
    for (const origin of [undefined, null, "", false]) {
      expect([origin, await allowedOrigin({ origin })]).toEqual([origin, undefined]);
    }
  });

  test("a hole in a list of origins allows nobody more", async () => {
    for (const origin of [
      [PAGE, undefined],
      [null, /^http:\/\/page\./],
    ]) {
      expect(await allowedOrigin({ origin }, PAGE)).toBe(PAGE);
      expect(await allowedOrigin({ origin }, OTHER)).toBeUndefined();
    }
  });
});

test("a cookie has every attribute that it is given", async () => {
  const cookie = {
    name: "sid",
    domain: "page.example",
    secure: true,
    partitioned: true,
    priority: "high",
    sameSite: "none",
  };
  const [set] = (await handshake(await startServer({ cookie }))).headers["set-cookie"];
  expect(set.replace(/^sid=[^;]+/, "sid")).toBe(
    "sid; Domain=page.example; Path=/; HttpOnly; Secure; Partitioned; Priority=High; SameSite=None",
  );
});

describe("functions that decide on origins", () => {
  const onlyPage = (origin, answer) => {
    if (origin === PAGE) answer(null, true);
    else answer(new Error("not allowed"));
  };

  test("an error refuses the request, whatever its transport", async () => {
    const server = await startServer({ cors: { origin: onlyPage } });
    const welcomed = await handshake(server, PAGE);
    expect([welcomed.status, welcomed.headers[ALLOW_ORIGIN]]).toEqual([200, PAGE]);
    expect((await handshake(server, OTHER)).status).toBe(400);
    const page = await openWebSocket(server, { options: { headers: { Origin: PAGE } } });
    page.close();
    await expect(openWebSocket(server, { options: { headers: { Origin: OTHER } } })).rejects.toThrow();
  });

  test("an answer of nobody sends no headers and lets the request pass", async () => {
    const server = await startServer({ cors: { origin: (_origin, answer) => answer(null, false) } });
    const answer = await handshake(server);
    expect([answer.status, answer.headers[ALLOW_ORIGIN]]).toEqual([200, undefined]);
  });

  test("the rules may come by a function of the request", async () => {
    const cors = (req, answer) => {
      const origin = req.headers.origin === PAGE ? [PAGE] : false;
      answer(null, { origin, credentials: true, methods: ["GET", "POST"], exposedHeaders: "x-e", maxAge: 7 });
    };
    const server = await startServer({ cors });
    for (const [origin, allowed, credentials] of [
      [PAGE, PAGE, "true"],
      [OTHER, undefined, undefined],
    ]) {
      const { status, headers } = await handshake(server, origin);
      expect([status, headers[ALLOW_ORIGIN], headers["access-control-allow-credentials"]]).toEqual([
        200,
        allowed,
        credentials,
      ]);
      const file = await request(server, "/socket.io/socket.io.min.js", { headers: { Origin: origin } });
      expect([file.status, file.headers[ALLOW_ORIGIN]]).toEqual([200, allowed]);
    }
    const { status, headers } = await preflight(server);
    expect(status).toBe(204);
    expect(headers).toMatchObject({
      [ALLOW_ORIGIN]: PAGE,
      vary: "Origin, Access-Control-Request-Headers",
      "access-control-allow-methods": "GET,POST",
      "access-control-expose-headers": "x-e",
      "access-control-max-age": "7",
    });
    await connected(server.client("/", { ...WEBSOCKET, extraHeaders: { Origin: OTHER } }));
  });

  test("a function that has no rules refuses the request", async () => {
    const server = await startServer({ cors: (_req, answer) => answer(new Error("none")) });
    expect((await handshake(server)).status).toBe(400);
    await expect(openWebSocket(server)).rejects.toThrow();
  });
});
