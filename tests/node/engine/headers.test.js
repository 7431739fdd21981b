"use strict";

const { POLLING, once, request, startEngine } = require("./support");

const HANDSHAKE = "EIO=4&transport=polling";

/** Adds the given headers at every event. */
function adds(server, event, headers) {
  server.engine.on(event, (given) => Object.assign(given, headers));
}

/** What the server's two header events say from now on, and in which order. */
function recordHeaders(server) {
  const heard = [];
  for (const event of ["initial_headers", "headers"]) {
    server.engine.on(event, (_headers, asked) => {
      heard.push(`${event} ${asked.method} ${asked._query.transport}${asked._query.sid ? " sid" : ""}`);
    });
  }
  return heard;
}

/** The headers of the answer that opens a WebSocket. */
async function acceptance(server, options) {
  const client = server.client(options);
  const opened = once(client, "open");
  const [response] = await once(client.transport.ws, "upgrade");
  await opened;
  return response.headers;
}

describe("header events", () => {
  test("come for every answer of a polling session, the initial one once", async () => {
    const server = await startEngine();
    const heard = recordHeaders(server);
    const session = await server.polling();
    await session.post("4a");
    session.socket.send("b");
    await session.poll();
    expect(heard).toEqual([
      "initial_headers GET polling",
      "headers GET polling",
      "headers POST polling sid",
      "headers GET polling sid",
    ]);
  });

  test("come once for a WebSocket", async () => {
    const server = await startEngine();
    const heard = recordHeaders(server);
    const webSocket = await server.webSocket();
    webSocket.engineSocket.send("a");
    await webSocket.next();
    expect(heard).toEqual(["initial_headers GET websocket", "headers GET websocket"]);
  });

  test("tell an upgrade from a beginning", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const heard = recordHeaders(server);
    await server.probe(session.sid);
    expect(heard).toEqual(["headers GET websocket sid"]);
  });

  test("do not come for refusals", async () => {
    const server = await startEngine();
    const heard = recordHeaders(server);
    await server.request("EIO=4&transport=pigeon");
    await server.request("EIO=4&transport=polling&sid=nobody");
    await server.refusedWebSocket("EIO=4&transport=websocket&sid=nobody");
    expect(heard).toEqual([]);
  });

  test("let listeners add and remove headers of a polling answer", async () => {
    const server = await startEngine();
    adds(server, "initial_headers", { "x-initial": "1" });
    adds(server, "headers", { "x-always": "2" });
    server.engine.on("headers", (headers) => delete headers["cache-control"]);
    const session = await server.polling();
    expect(session.opening.headers).toMatchObject({ "x-initial": "1", "x-always": "2" });
    expect(session.opening.headers["cache-control"]).toBeUndefined();
    const posted = await session.post("4a");
    expect(posted.headers["x-always"]).toBe("2");
    expect(posted.headers["x-initial"]).toBeUndefined();
  });

  test("let listeners add headers to the acceptance of a WebSocket, more than one of a name", async () => {
    const server = await startEngine();
    adds(server, "initial_headers", { "x-initial": "1", "set-cookie": "mine=1" });
    adds(server, "headers", { "x-always": "2" });
    expect(await acceptance(server)).toMatchObject({
      "x-initial": "1",
      "x-always": "2",
      "set-cookie": ["mine=1"],
    });
  });

  test("show what will be sent", async () => {
    const server = await startEngine();
    const seen = [];
    server.engine.on("headers", (headers) => seen.push({ ...headers }));
    const session = await server.polling();
    await session.post("4a");
    expect(seen[0]).toMatchObject({
      "Content-Type": "text/plain; charset=UTF-8",
      "cache-control": "no-store",
      "Content-Length": session.opening.body.length,
    });
    expect(seen[1]).toMatchObject({ "Content-Type": "text/html", "Content-Length": "2" });
  });

  test("have the request, which is the session's at its beginning", async () => {
    const server = await startEngine();
    const requests = [];
    server.engine.on("initial_headers", (_headers, asked) => requests.push(asked));
    const polling = await server.polling();
    const webSocket = await server.webSocket();
    expect(requests[0] === polling.socket.request).toBe(true);
    expect(requests[1] === webSocket.engineSocket.request).toBe(true);
  });

  test("come before the connection event", async () => {
    const server = await startEngine();
    const heard = recordHeaders(server);
    server.engine.on("connection", () => heard.push("connection"));
    await server.polling();
    await server.webSocket();
    expect(heard).toEqual([
      "initial_headers GET polling",
      "headers GET polling",
      "connection",
      "initial_headers GET websocket",
      "headers GET websocket",
      "connection",
    ]);
  });
});

test("polling answers keep Internet Explorer from guarding against them", async () => {
  const server = await startEngine();
  const agent = "Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko";
  const session = await server.polling({ headers: { "user-agent": agent } });
  expect(session.opening.headers["x-xss-protection"]).toBe("0");
  expect((await server.polling()).opening.headers["x-xss-protection"]).toBeUndefined();
});

describe("the cookie", () => {
  test.each([
    [true, "io=SID; Path=/; HttpOnly; SameSite=Lax"],
    [{ name: "sid" }, "sid=SID; Path=/; HttpOnly; SameSite=Lax"],
    [{ path: "/chat" }, "io=SID; Path=/chat; HttpOnly; SameSite=Lax"],
    [{ path: false }, "io=SID; HttpOnly; SameSite=Lax"],
    [{ httpOnly: false }, "io=SID; Path=/; SameSite=Lax"],
    [{ sameSite: "strict" }, "io=SID; Path=/; HttpOnly; SameSite=Strict"],
    [{ sameSite: "none", secure: true }, "io=SID; Path=/; HttpOnly; Secure; SameSite=None"],
    [{ maxAge: 60, domain: "a.test" }, "io=SID; Max-Age=60; Domain=a.test; Path=/; HttpOnly; SameSite=Lax"],
  ])("as %j is %s", async (cookie, expected) => {
    const server = await startEngine({ cookie });
    const { sid, opening } = await server.polling();
    expect(opening.headers["set-cookie"]).toEqual([expected.replace("SID", sid)]);
  });

  test("is not sent by default", async () => {
    const server = await startEngine();
    expect((await server.polling()).opening.headers["set-cookie"]).toBeUndefined();
  });

  test("comes with the first answer only, and not over WebSocket", async () => {
    const server = await startEngine({ cookie: true });
    const session = await server.polling();
    session.socket.send("a");
    expect((await session.poll()).headers["set-cookie"]).toBeUndefined();
    expect((await session.post("4b")).headers["set-cookie"]).toBeUndefined();
    expect((await acceptance(server))["set-cookie"]).toBeUndefined();
  });

  test("is in the headers when their events come, and another one may stand beside it", async () => {
    const server = await startEngine({ cookie: true });
    server.engine.on("initial_headers", (headers) => headers["Set-Cookie"].push("mine=1"));
    const { sid, opening } = await server.polling();
    expect(opening.headers["set-cookie"]).toEqual([`io=${sid}; Path=/; HttpOnly; SameSite=Lax`, "mine=1"]);
  });
});

describe("use()", () => {
  test("runs its functions in order, for every request", async () => {
    const server = await startEngine();
    const heard = [];
    server.engine.use((asked, _response, next) => {
      heard.push(`1 ${asked.method}`);
      next();
    });
    server.engine.use((asked, _response, next) => {
      heard.push(`2 ${asked.method}`);
      setImmediate(next);
    });
    const session = await server.polling();
    await session.post("4a");
    expect(heard).toEqual(["1 GET", "2 GET", "1 POST", "2 POST"]);
  });

  test("comes before all checks", async () => {
    const server = await startEngine();
    server.engine.use((_request, response, next) => {
      response.setHeader("x-seen", "yes");
      next();
    });
    const answer = await server.request("EIO=4&transport=pigeon");
    expect([answer.status, answer.headers["x-seen"]]).toEqual([400, "yes"]);
  });

  test("sets headers of polling answers and of acceptances", async () => {
    const server = await startEngine();
    server.engine.use((_request, response, next) => {
      response.setHeader("x-seen", "yes");
      response.setHeader("x-gone", "no");
      expect(response.getHeader("x-seen")).toBe("yes");
      response.removeHeader("x-gone");
      next();
    });
    for (const headers of [(await server.polling()).opening.headers, await acceptance(server)]) {
      expect([headers["x-seen"], headers["x-gone"]]).toEqual(["yes", undefined]);
    }
  });

  test("shows the headers of an acceptance to the header events", async () => {
    const server = await startEngine();
    server.engine.use((_request, response, next) => {
      response.setHeader("x-seen", "yes");
      next();
    });
    const seen = [];
    server.engine.on("headers", (headers) => seen.push({ ...headers }));
    await acceptance(server);
    expect(seen).toEqual([{ "x-seen": "yes" }]);
  });

  test("may answer itself", async () => {
    const server = await startEngine();
    server.engine.use((_request, response) => {
      response.writeHead(503);
      response.end("closed");
    });
    const answer = await server.request(HANDSHAKE);
    expect([answer.status, answer.text]).toEqual([503, "closed"]);
    const client = server.client();
    const [reason] = await once(client, "close");
    expect([reason, server.engine.clientsCount]).toEqual(["transport error", 0]);
  });

  test("refuses WebSockets by an error as well", async () => {
    const server = await startEngine();
    server.engine.use((_request, _response, next) => next(new Error("broken")));
    expect(await server.refusedWebSocket("EIO=4&transport=websocket")).toEqual({
      status: 400,
      text: "Bad request",
    });
  });

  test("may wait for the head to be written, as session middlewares do", async () => {
    const server = await startEngine();
    server.engine.use((_request, response, next) => {
      const writeHead = response.writeHead;
      response.writeHead = function writeHeadWithCookie(...args) {
        this.setHeader("set-cookie", "session=1");
        return writeHead.apply(this, args);
      };
      next();
    });
    expect((await server.polling()).opening.headers["set-cookie"]).toEqual(["session=1"]);
    expect((await acceptance(server))["set-cookie"]).toEqual(["session=1"]);
  });

  test("leaves on the request what the application wants on the socket", async () => {
    const server = await startEngine();
    server.engine.use((asked, _response, next) => {
      asked.user = "ada";
      next();
    });
    const pairs = [await server.pair(), await server.pair(POLLING)];
    expect(pairs.map(({ socket }) => socket.request.user)).toEqual(["ada", "ada"]);
  });
});

describe("cors", () => {
  const ORIGIN = { origin: "http://page.test" };

  test("answers preflights", async () => {
    const server = await startEngine({ cors: { origin: "http://page.test", credentials: true, maxAge: 5 } });
    const answer = await server.request(HANDSHAKE, { method: "OPTIONS", headers: ORIGIN });
    expect(answer.status).toBe(204);
    expect(answer.headers).toMatchObject({
      "access-control-allow-origin": "http://page.test",
      "access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE",
      "access-control-allow-credentials": "true",
      "access-control-max-age": "5",
    });
  });

  test("marks answers and refusals", async () => {
    const server = await startEngine({ cors: { origin: ["http://page.test"] } });
    const allowed = (answer) => answer.headers["access-control-allow-origin"];
    expect(allowed(await server.request(HANDSHAKE, { headers: ORIGIN }))).toBe("http://page.test");
    expect(allowed(await server.request("EIO=4&transport=pigeon", { headers: ORIGIN }))).toBe(
      "http://page.test",
    );
    const elsewhere = { headers: { origin: "http://other.test" } };
    const answer = await server.request(HANDSHAKE, elsewhere);
    expect([answer.status, allowed(answer)]).toEqual([200, undefined]);
  });

  test("is the engine's alone", async () => {
    const routes = (_request, response) => response.end("theirs");
    const server = await startEngine({ cors: { origin: "*" } }, { routes });
    const answer = await request(server, "/theirs", { headers: ORIGIN });
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  });
});
