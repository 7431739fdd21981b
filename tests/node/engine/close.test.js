"use strict";

const {
  POLLING,
  SEPARATOR,
  closing,
  eventually,
  ferrioOnly,
  listen,
  nextEnd,
  once,
  openTcp,
  startEngine,
  stop,
} = require("./support");

/** What a close event says: the reason, and the message of the error if there is one. */
const said = ([reason, error]) => [reason, error?.message];

/** A POST of which the server gets only a part. Returns the connection. */
async function startPost(server, session) {
  const connection = await openTcp(server);
  connection.write(`POST ${session.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n4a`);
  return connection;
}

describe("close()", () => {
  test("over WebSocket is done when it returns", async () => {
    const server = await startEngine();
    const webSocket = await server.webSocket();
    const { engineSocket } = webSocket;
    const heard = [];
    engineSocket.on("close", (...args) => heard.push([engineSocket.readyState, ...args]));
    engineSocket.close();
    expect([engineSocket.readyState, heard]).toEqual(["closed", [["closed", "forced close", undefined]]]);
    expect(await webSocket.closeCode()).toBe(1005);
  });

  test("while somebody polls answers with the close packet", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const poll = await session.startPoll();
    await eventually(() => session.socket.transport.writable);
    expect(said(await closing(session.socket, () => session.socket.close()))).toEqual([
      "forced close",
      undefined,
    ]);
    expect((await poll.answer).text).toBe("1");
    expect((await session.poll()).status).toBe(400);
  });

  test("while nobody polls waits for the next poll", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const states = [];
    session.socket.on("close", (reason) => states.push(reason, session.socket.readyState));
    session.socket.close();
    states.push(session.socket.readyState);
    expect((await session.poll()).text).toBe(`6${SEPARATOR}1`);
    expect(states).toEqual(["closing", "forced close", "closed"]);
  });

  test.each(["polling", "websocket"])("sends first what was sent before (%s)", async (transport) => {
    const server = await startEngine();
    const { client, socket } = await server.pair({ transports: [transport] });
    const heard = [];
    client.on("message", (data) => heard.push(data));
    const closed = once(client, "close");
    for (const text of ["a", "b", "c"]) socket.send(text);
    socket.close();
    expect((await closed)[0]).toBe("transport close");
    expect(heard).toEqual(["a", "b", "c"]);
    expect(socket.readyState).toBe("closed");
  });

  test("takes no further messages", async () => {
    const server = await startEngine();
    const session = await server.polling();
    session.socket.send("a");
    session.socket.close();
    expect(session.socket.readyState).toBe("closing");
    session.socket.send("late");
    expect((await session.poll()).text).toBe("4a");
    expect((await session.poll()).text).toBe(`6${SEPARATOR}1`);
  });

  test("hears no more messages", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const heard = [];
    listen(session.socket, ["packet", "message"], heard);
    session.socket.close();
    await session.post("4late");
    expect([session.socket.readyState, heard]).toEqual(["closing", []]);
  });

  test("twice is as once", async () => {
    const server = await startEngine();
    const { socket } = await server.pair();
    const reasons = [];
    socket.on("close", (reason) => reasons.push(reason));
    socket.close();
    socket.close();
    socket.close(true);
    expect(reasons).toEqual(["forced close"]);
  });

  test("in the connection event is possible", async () => {
    const server = await startEngine();
    server.engine.on("connection", (socket) => {
      socket.send("bye");
      socket.close();
    });
    for (const transports of [["polling"], ["websocket"]]) {
      const client = server.client({ transports });
      const heard = [];
      client.on("message", (data) => heard.push(data));
      await once(client, "close");
      expect(heard).toEqual(["bye"]);
    }
    expect(server.engine.clientsCount).toBe(0);
  });

  test("with true is done at once, whatever was to be sent", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const reasons = [];
    session.socket.on("close", (reason) => reasons.push(reason));
    session.socket.send("never read");
    session.socket.close(true);
    expect([session.socket.readyState, reasons]).toEqual(["closed", ["forced close"]]);
    expect((await session.poll()).status).toBe(400);
  });

  test("with true ends at once what is closing already", async () => {
    const server = await startEngine();
    const session = await server.polling();
    session.socket.send("a");
    session.socket.close();
    session.socket.close(true);
    expect([session.socket.readyState, server.engine.clientsCount]).toEqual(["closed", 0]);
  });

  test("shows in its event what was not sent", async () => {
    const server = await startEngine();
    const session = await server.polling();
    let left;
    session.socket.on("close", () => {
      left = session.socket.writeBuffer.map(({ data }) => data);
    });
    session.socket.send("never read");
    session.socket.close(true);
    expect(left).toEqual(["never read"]);
    await eventually(() => session.socket.writeBuffer.length === 0);
  });
});

describe("the close event", () => {
  test("says 'transport close' when the client goes", async () => {
    const server = await startEngine();
    for (const options of [{}, POLLING]) {
      const { client, socket } = await server.pair(options);
      expect(await closing(socket, () => client.close())).toEqual(["transport close", undefined]);
    }
  });

  test("says 'transport close' when the client's close packet comes, and a waiting poll is answered", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const poll = await session.startPoll();
    const end = await closing(session.socket, async () => {
      const answer = await session.post("1");
      expect([answer.status, answer.text]).toEqual([200, "ok"]);
    });
    expect(said(end)).toEqual(["transport close", undefined]);
    expect((await poll.answer).text).toBe("6");
  });

  test("says 'transport close' when a WebSocket is gone without a word", async () => {
    const server = await startEngine();
    const webSocket = await server.webSocket();
    const end = await closing(webSocket.engineSocket, () => webSocket.socket.terminate());
    expect(said(end)).toEqual(["transport close", undefined]);
  });

  test("says 'parse error' for what is no packet", async () => {
    const server = await startEngine();
    const webSocket = await server.webSocket();
    const packets = [];
    webSocket.engineSocket.on("packet", ({ type, data }) => packets.push([type, data]));
    const end = await closing(webSocket.engineSocket, () => webSocket.send("abc"));
    expect(said(end)).toEqual(["parse error", undefined]);
    expect(packets).toEqual([["error", "parser error"]]);
    await webSocket.closeCode();
    const session = await server.polling();
    expect(said(await closing(session.socket, () => session.post("abc")))).toEqual([
      "parse error",
      undefined,
    ]);
    expect((await session.poll()).status).toBe(400);
  });

  test("says 'ping timeout' when the client does not answer", async () => {
    const server = await startEngine({ pingInterval: 20, pingTimeout: 20 });
    const firstEnd = nextEnd(server);
    const webSocket = await server.webSocket();
    expect(said(await firstEnd)).toEqual(["ping timeout", undefined]);
    await webSocket.closeCode();
    const secondEnd = nextEnd(server);
    const session = await server.polling();
    expect(said(await secondEnd)).toEqual(["ping timeout", undefined]);
    expect((await session.poll()).status).toBe(400);
  });

  test("says 'transport error' for a ping of the client, which is the server's", async () => {
    const server = await startEngine();
    const webSocket = await server.webSocket();
    const end = await closing(webSocket.engineSocket, () => webSocket.send("2"));
    expect(said(end)).toEqual(["transport error", "invalid heartbeat direction"]);
  });

  test("says 'transport error' for a WebSocket message that is too long", async () => {
    const server = await startEngine({ maxHttpBufferSize: 10 });
    const webSocket = await server.webSocket();
    const end = await closing(webSocket.engineSocket, () => webSocket.send("4".padEnd(11, "x")));
    expect(end[0]).toBe("transport error");
    expect(end[1]).toBeInstanceOf(Error);
    expect(await webSocket.closeCode()).toBe(1009);
  });

  test("says 'transport error' for a second poll while one waits", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const first = await session.startPoll();
    await eventually(() => session.socket.transport.writable);
    const end = closing(session.socket, async () => expect((await session.poll()).status).toBe(400));
    const [reason, error] = await end;
    expect([reason, error.message, error.type]).toEqual([
      "transport error",
      "overlap from client",
      "TransportError",
    ]);
    expect((await first.answer).text).toBe("1");
  });

  test("says 'transport error' for a poll that is given up", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const connection = await openTcp(server);
    connection.write(`GET ${session.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    await eventually(() => session.socket.transport.writable);
    const end = await closing(session.socket, () => connection.socket.destroy());
    expect(said(end)).toEqual(["transport error", "poll connection closed prematurely"]);
  });

  test("says 'transport error' for a second body while one comes", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const seen = new Promise((resolve) => server.engine.use((_request, _response, next) => resolve(next())));
    await startPost(server, session);
    await seen;
    const end = await closing(session.socket, () => session.post("4b").catch(() => {}));
    expect(said(end)).toEqual(["transport error", "data request overlap from client"]);
  });

  test("says 'transport error' for a body that is given up", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const seen = new Promise((resolve) => server.engine.use((_request, _response, next) => resolve(next())));
    const connection = await startPost(server, session);
    await seen;
    const end = await closing(session.socket, () => connection.socket.destroy());
    expect(said(end)).toEqual(["transport error", "data request connection closed prematurely"]);
  });

  test("comes once, and the error event never", async () => {
    const server = await startEngine();
    const webSocket = await server.webSocket();
    const heard = [];
    listen(webSocket.engineSocket, ["error", "close"], heard);
    await closing(webSocket.engineSocket, () => webSocket.send("2"));
    await webSocket.closeCode();
    expect(heard).toEqual(["close"]);
  });

  test("comes before others hear of the transport's end", async () => {
    const server = await startEngine();
    const { client, socket } = await server.pair();
    const heard = [];
    socket.transport.on("close", () => heard.push(`transport, socket ${socket.readyState}`));
    socket.on("close", () => heard.push("socket"));
    await closing(socket, () => client.close());
    expect(heard).toEqual(["socket", "transport, socket closed"]);
  });
});

describe("what does not close a session", () => {
  test("a body that is too long", async () => {
    const server = await startEngine({ maxHttpBufferSize: 10 });
    const session = await server.polling();
    const heard = [];
    session.socket.on("message", (data) => heard.push(data));
    expect((await session.post("4".padEnd(11, "x"))).status).toBe(413);
    expect((await session.post("4short")).status).toBe(200);
    expect([session.socket.readyState, heard]).toEqual(["open", ["short"]]);
  });

  test("a method that means nothing", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const answer = await server.request(`EIO=4&transport=polling&sid=${session.sid}`, { method: "DELETE" });
    expect([answer.status, answer.text, session.socket.readyState]).toEqual([500, "", "open"]);
  });
});

ferrioOnly("the official server takes a close packet over WebSocket for nothing", () => {
  test("a close packet over WebSocket ends the session", async () => {
    const server = await startEngine();
    const webSocket = await server.webSocket();
    const end = await closing(webSocket.engineSocket, () => webSocket.send("1"));
    expect(said(end)).toEqual(["transport close", undefined]);
    await webSocket.closeCode();
  });
});

test("binary content is refused over polling, and closes the session", async () => {
  const server = await startEngine();
  const session = await server.polling();
  const headers = { "content-type": "application/octet-stream" };
  const end = await closing(session.socket, async () => {
    expect((await session.post("4a", { headers })).status).toBe(400);
  });
  expect(said(end)).toEqual(["transport error", "invalid content"]);
});

describe("close() of the engine", () => {
  test("lets sessions open by long-polling, and no WebSockets", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const reason = once(session.socket, "close");
    server.engine.close();
    expect((await reason)[0]).toBe("forced close");

    expect((await server.polling()).handshake.upgrades).toEqual(["websocket"]);
    const refusal = await server.refusedWebSocket("EIO=4&transport=websocket");
    expect(refusal.status).toBe(503);
  });

  test("lets WebSockets in again when the HTTP server was closed and listens", async () => {
    const server = await startEngine();
    server.engine.close();
    await stop(server.httpServer);
    server.httpServer.listen(server.port, "127.0.0.1");
    await once(server.httpServer, "listening");
    await server.pair();
  });
});
