"use strict";

const { startEngine } = require("./support");

/** What `connection_error` said, without the request, and what the client was answered. */
async function refusal(server, query, options) {
  const error = server.nextError();
  const answer = await server.request(query, options);
  const { req, ...rest } = await error;
  return { req, error: rest, answer: [answer.status, JSON.parse(answer.text)] };
}

describe("connection_error", () => {
  test("tells of an unknown transport", async () => {
    const server = await startEngine();
    const { error, answer } = await refusal(server, "EIO=4&transport=pigeon");
    expect(error).toEqual({ code: 0, message: "Transport unknown", context: { transport: "pigeon" } });
    expect(answer).toEqual([400, { code: 0, message: "Transport unknown" }]);
  });

  test.each(["constructor", "__proto__", "webtransport"])("takes %s for no transport", async (transport) => {
    const server = await startEngine();
    const { error } = await refusal(server, `EIO=4&transport=${transport}`);
    expect([error.code, error.context]).toEqual([0, { transport }]);
  });

  test("tells of a missing transport", async () => {
    const server = await startEngine();
    const { error } = await refusal(server, "EIO=4");
    expect(error).toEqual({ code: 0, message: "Transport unknown", context: { transport: undefined } });
  });

  test("tells of an unknown session", async () => {
    const server = await startEngine();
    const { error, answer } = await refusal(server, "EIO=4&transport=polling&sid=nobody");
    expect(error).toEqual({ code: 1, message: "Session ID unknown", context: { sid: "nobody" } });
    expect(answer).toEqual([400, { code: 1, message: "Session ID unknown" }]);
  });

  test.each(["constructor", "__proto__"])("takes %s for no session", async (sid) => {
    const server = await startEngine();
    const { error } = await refusal(server, `EIO=4&transport=polling&sid=${sid}`);
    expect([error.code, error.context]).toEqual([1, { sid }]);
  });

  test.each(["POST", "PUT", "OPTIONS"])("tells of a handshake by %s", async (method) => {
    const server = await startEngine();
    const { error, answer } = await refusal(server, "EIO=4&transport=polling", { method });
    expect(error).toEqual({ code: 2, message: "Bad handshake method", context: { method } });
    expect(answer).toEqual([400, { code: 2, message: "Bad handshake method" }]);
  });

  test("tells of a WebSocket handshake without an upgrade", async () => {
    const server = await startEngine();
    const { error, answer } = await refusal(server, "EIO=4&transport=websocket");
    expect(error).toEqual({
      code: 3,
      message: "Bad request",
      context: { name: "TRANSPORT_HANDSHAKE_ERROR" },
    });
    expect(answer).toEqual([400, { code: 3, message: "Bad request" }]);
  });

  test("tells of a request over another transport than the session's", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const { error } = await refusal(server, `EIO=4&transport=websocket&sid=${session.sid}`);
    expect(error).toEqual({
      code: 3,
      message: "Bad request",
      context: { name: "TRANSPORT_MISMATCH", transport: "websocket", previousTransport: "polling" },
    });
    expect(session.socket.readyState).toBe("open");
  });

  test("tells of a request in another revision than the session's", async () => {
    const server = await startEngine({ allowEIO3: true });
    const session = await server.polling();
    const { error } = await refusal(server, `EIO=3&transport=polling&sid=${session.sid}`);
    expect(error).toEqual({
      code: 3,
      message: "Bad request",
      context: { name: "PROTOCOL_MISMATCH", protocol: 3, previousProtocol: 4 },
    });
    expect(session.socket.readyState).toBe("open");
  });

  test("tells of a middleware's failure", async () => {
    const server = await startEngine();
    server.engine.use((_request, _response, next) => next(new Error("broken")));
    const { error, answer } = await refusal(server, "EIO=4&transport=polling");
    expect(error).toEqual({ code: 3, message: "Bad request", context: { name: "MIDDLEWARE_FAILURE" } });
    expect(answer).toEqual([400, { code: 3, message: "Bad request" }]);
  });

  test.each(["EIO=3&", "EIO=5&", "EIO=abc&", ""])(
    "tells of the revision in '%s', if it is not allowed",
    async (query) => {
      const server = await startEngine();
      const { error, answer } = await refusal(server, `${query}transport=polling`);
      expect(error).toEqual({ code: 5, message: "Unsupported protocol version", context: { protocol: 3 } });
      expect(answer).toEqual([400, { code: 5, message: "Unsupported protocol version" }]);
    },
  );

  test("gives the request", async () => {
    const server = await startEngine();
    const headers = { "x-mark": "here" };
    const { req } = await refusal(server, "EIO=4&transport=pigeon&extra=1", { headers });
    expect([req.method, req.url]).toEqual(["GET", "/engine.io/?EIO=4&transport=pigeon&extra=1"]);
    expect({ ...req._query }).toEqual({ EIO: "4", transport: "pigeon", extra: "1" });
    expect(req.headers["x-mark"]).toBe("here");
  });

  test("checks the transport before the session, and the session before the revision", async () => {
    const server = await startEngine();
    expect((await refusal(server, "EIO=3&transport=pigeon&sid=nobody")).error.code).toBe(0);
    expect((await refusal(server, "EIO=3&transport=polling&sid=nobody")).error.code).toBe(1);
    expect((await refusal(server, "EIO=3&transport=polling", { method: "PUT" })).error.code).toBe(2);
  });

  test("is no error event: nobody has to listen", async () => {
    const server = await startEngine();
    expect((await server.request("EIO=4&transport=pigeon")).status).toBe(400);
  });

  test.each([
    ["EIO=4&transport=pigeon", 0, "Transport unknown"],
    ["EIO=4&transport=websocket&sid=nobody", 1, "Session ID unknown"],
  ])("comes for a WebSocket too: %s", async (query, code, text) => {
    const server = await startEngine();
    const error = server.nextError();
    expect(await server.refusedWebSocket(query)).toEqual({ status: 400, text });
    const { message, ...rest } = await error;
    expect([rest.code, message]).toEqual([code, text]);
  });

  test("ends a WebSocket of a revision that is not allowed", async () => {
    const server = await startEngine();
    const error = server.nextError();
    const client = server.clientVersion3();
    await new Promise((resolve) => client.on("close", resolve));
    expect((await error).code).toBe(5);
    expect(server.engine.clientsCount).toBe(0);
  });
});
