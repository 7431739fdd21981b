"use strict";

const {
  PollingSession,
  RawWebSocket,
  SEPARATOR,
  ferrioOnly,
  openPolling,
  openWebSocket,
  refusedWebSocket,
  request,
  startServer,
} = require("./support");

/** Short enough for a test to see heartbeats, long enough for a busy machine to answer them in time. */
const HEARTBEAT = { pingInterval: 100, pingTimeout: 300 };

/** A server whose main namespace echoes, and tells each socket its auth payload. `/custom` does the same. */
async function startEchoServer(options) {
  const server = await startServer(options);
  for (const name of ["/", "/custom"]) {
    server.io.of(name).on("connection", (socket) => {
      socket.emit("auth", socket.handshake.auth);
      socket.on("message", (...args) => socket.emit("message-back", ...args));
      socket.on("message-with-ack", (...args) => args.pop()(...args));
    });
  }
  return server;
}

/** A bare WebSocket that joined the main namespace and has heard the `auth` event. */
async function openEcho(server) {
  const peer = await openWebSocket(server);
  expect(await peer.next()).toBe('42["auth",{}]');
  return peer;
}

const SID = "[\\w-]{20}";

describe("Engine.IO handshake", () => {
  test("a polling handshake announces sid, upgrades, intervals and limit", async () => {
    const server = await startServer(HEARTBEAT);
    const answer = await request(server, "/socket.io/?EIO=4&transport=polling");
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toBe("text/plain; charset=UTF-8");
    expect(answer.text[0]).toBe("0");
    expect(JSON.parse(answer.text.slice(1))).toEqual({
      sid: expect.stringMatching(`^${SID}$`),
      upgrades: ["websocket"],
      ...HEARTBEAT,
      maxPayload: 1000000,
    });
  });

  test("a WebSocket handshake announces sid, no upgrades, intervals and limit", async () => {
    const server = await startServer({ ...HEARTBEAT, maxHttpBufferSize: 12345 });
    const peer = await openWebSocket(server, { join: false });
    expect(peer.handshake).toEqual({
      sid: expect.stringMatching(`^${SID}$`),
      upgrades: [],
      ...HEARTBEAT,
      maxPayload: 12345,
    });
  });

  test("a handshake without or with unknown transport is refused", async () => {
    const server = await startServer();
    for (const query of ["EIO=4", "EIO=4&transport=abc", "EIO=4&transport="]) {
      expect((await request(server, `/socket.io/?${query}`)).status).toBe(400);
      expect((await refusedWebSocket(server, `/socket.io/?${query}`)).status).toBe(400);
    }
  });

  test("a handshake without or with an unknown protocol version is refused", async () => {
    const server = await startServer();
    for (const query of ["transport=polling", "EIO=abc&transport=polling", "EIO=&transport=polling"]) {
      expect((await request(server, `/socket.io/?${query}`)).status).toBe(400);
      const peer = new RawWebSocket(
        `${server.url.replace("http", "ws")}/socket.io/?${query.replace("polling", "websocket")}`,
      );
      expect(await peer.next()).toBeUndefined();
    }
  });
});

describe("Engine.IO messages", () => {
  test("a posted packet is answered with ok", async () => {
    const server = await startServer();
    const session = await openPolling(server, { join: false });
    const answer = await session.post("40");
    expect([answer.status, answer.text]).toEqual([200, "ok"]);
    expect((await session.packets())[0]).toMatch(/^40\{"sid":/);
  });

  test("several packets in one payload are all received", async () => {
    const server = await startEchoServer();
    const session = await openPolling(server);
    const sent = Array.from({ length: 20 }, (_, n) => `42["message",${n}]`);
    await session.post(sent.join(SEPARATOR));
    const packets = [];
    while (packets.length < 20)
      packets.push(...(await session.packets()).filter((packet) => !packet.includes("auth")));
    expect(packets).toEqual(sent.map((packet) => packet.replace("message", "message-back")));
  });

  test("several packets wait in one polling answer", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const [socket] = server.sockets.values();
    socket.emit("a");
    socket.emit("b", Buffer.from([1, 2, 3]));
    socket.emit("c");
    const answer = await session.poll();
    const packets = ['42["a"]', '451-["b",{"_placeholder":true,"num":0}]', "bAQID", '42["c"]'];
    const received = answer.text.split(SEPARATOR);
    while (received.length < packets.length) received.push(...(await session.packets()));
    expect(received).toEqual(packets);
  });
});

describe("Engine.IO heartbeat", () => {
  test("the server pings and lives on pongs over long-polling", async () => {
    const server = await startServer(HEARTBEAT);
    const session = await openPolling(server);
    for (let n = 0; n < 3; n += 1) {
      expect((await session.poll()).text).toBe("2");
      expect((await session.post("3")).status).toBe(200);
    }
  });

  test("the server pings and lives on pongs over WebSocket", async () => {
    const server = await startServer(HEARTBEAT);
    const peer = await openWebSocket(server);
    for (let n = 0; n < 3; n += 1) {
      expect(await peer.next({ pings: true })).toBe("2");
      peer.send("3");
    }
  });

  test("a missing pong closes the session over long-polling", async () => {
    const server = await startServer(HEARTBEAT);
    const session = await openPolling(server);
    expect((await session.poll()).text).toBe("2");
    // The poll that waits meanwhile may be answered in several ways; the next one meets no session.
    await session.poll();
    expect((await session.poll()).status).toBe(400);
  });

  test("a missing pong closes the session over WebSocket", async () => {
    const server = await startServer(HEARTBEAT);
    const peer = await openWebSocket(server);
    expect(await peer.next({ pings: true })).toBe("2");
    expect(await peer.next({ pings: true })).toBeUndefined();
  });
});

describe("Engine.IO close", () => {
  test("a close packet ends the session over long-polling", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const poll = await session.startPoll();
    expect((await session.post("1")).status).toBe(200);
    const released = await poll.answer;
    expect([released.status, released.text]).toEqual([200, "6"]);
    expect((await session.poll()).status).toBe(400);
  });

  test("a closed WebSocket ends the session", async () => {
    const server = await startServer();
    const peer = await openWebSocket(server);
    peer.close();
    await peer.closeCode();
    const path = `/socket.io/?EIO=4&transport=polling&sid=${peer.handshake.sid}`;
    for (;;) {
      const { code } = JSON.parse((await request(server, path)).text);
      // Until the server has seen the close it answers that the session is on another transport.
      if (code === 1) break;
      expect(code).toBe(3);
    }
  });
});

ferrioOnly("the official server does not heed a close packet over WebSocket", () => {
  test("a close packet ends the session over WebSocket", async () => {
    const server = await startServer();
    const peer = await openWebSocket(server);
    peer.send("1");
    expect(await peer.next()).toBeUndefined();
    expect(
      (await request(server, `/socket.io/?EIO=4&transport=polling&sid=${peer.handshake.sid}`)).status,
    ).toBe(400);
  });
});

describe("Engine.IO upgrade", () => {
  async function probe(server, session) {
    const peer = await openWebSocket(server, { sid: session.sid });
    peer.send("2probe");
    expect(await peer.next()).toBe("3probe");
    return peer;
  }

  test("a probe is answered and the upgrade moves the session", async () => {
    const server = await startEchoServer();
    const session = await openPolling(server);
    const peer = await probe(server, session);
    peer.send("5");
    peer.send('42["message","over WebSocket"]');
    const packets = [];
    while (packets.at(-1) !== '42["message-back","over WebSocket"]') packets.push(await peer.next());
    expect(packets).not.toContain(undefined);
  });

  test("a poll under way is released with noop when the upgrade is asked for", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const poll = await session.startPoll();
    const peer = await probe(server, session);
    const released = await poll.answer;
    expect([released.status, released.text]).toEqual([200, "6"]);
    peer.send("5");
    peer.send('421["barrier"]');
    expect(await peer.next()).toBe("431[]");
  });

  test("requests on the old transport after the upgrade are refused", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    const peer = await probe(server, session);
    peer.send("5");
    peer.send('421["barrier"]');
    expect(await peer.next()).toBe("431[]");
    expect((await session.poll()).status).toBe(400);
    expect((await session.post('42["lost"]')).status).toBe(400);
    expect((await refusedOrClosed(server, session)).every((message) => message === undefined)).toBe(true);
    peer.send('422["barrier"]');
    expect(await peer.next()).toBe("432[]");
  });

  test("a probe that is followed by something else is dropped", async () => {
    const server = await startServer();
    const session = await openPolling(server);
    for (const packet of ['42["not yet"]', "3", "6"]) {
      const peer = await probe(server, session);
      peer.send(packet);
      await peer.closeCode();
    }
    await session.post('421["barrier"]');
    const packets = [];
    while (!packets.includes("431[]")) packets.push(...(await session.packets()));
    expect(packets.filter((packet) => packet !== "6")).toEqual(["431[]"]);
  });

  /** What a second WebSocket for an upgraded session receives: nothing but its end. */
  async function refusedOrClosed(server, session) {
    const peer = new RawWebSocket(
      `${server.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket&sid=${session.sid}`,
    );
    return [await peer.next()];
  }
});

describe("Socket.IO connect", () => {
  test("a connect packet without payload joins the main namespace", async () => {
    const server = await startEchoServer();
    const peer = await openWebSocket(server, { join: false });
    peer.send("40");
    expect(await peer.next()).toMatch(new RegExp(`^40\\{"sid":"${SID}"\\}$`));
    expect(await peer.next()).toBe('42["auth",{}]');
  });

  test("a connect packet with payload is seen by the server", async () => {
    const server = await startEchoServer();
    const peer = await openWebSocket(server, { join: false });
    peer.send('40{"token":"123","list":[1,{}]}');
    expect(await peer.next()).toMatch(/^40\{"sid":/);
    expect(await peer.next()).toBe('42["auth",{"token":"123","list":[1,{}]}]');
  });

  test("a connect packet names its namespace and joins it", async () => {
    const server = await startEchoServer();
    const peer = await openWebSocket(server, { join: false });
    peer.send("40/custom,");
    expect(await peer.next()).toMatch(new RegExp(`^40/custom,\\{"sid":"${SID}"\\}$`));
    expect(await peer.next()).toBe('42/custom,["auth",{}]');
    const other = await openWebSocket(server, { join: false });
    other.send('40/custom,{"token":"abc"}');
    expect(await other.next()).toMatch(/^40\/custom,\{"sid":/);
    expect(await other.next()).toBe('42/custom,["auth",{"token":"abc"}]');
  });

  test("a connect packet for an unknown namespace is answered with an error", async () => {
    const server = await startEchoServer();
    const peer = await openWebSocket(server, { join: false });
    peer.send("40/random");
    expect(await peer.next()).toBe('44/random,{"message":"Invalid namespace"}');
    peer.send("40/random,{}");
    expect(await peer.next()).toBe('44/random,{"message":"Invalid namespace"}');
    peer.send("40");
    expect(await peer.next()).toMatch(/^40\{"sid":/);
  });

  test("an event before any connect packet closes the connection", async () => {
    const server = await startEchoServer();
    const peer = await openWebSocket(server, { join: false });
    peer.send('42["message"]');
    expect(await peer.next()).toBeUndefined();
  });

  test("two connect packets in one polling payload are answered in order", async () => {
    const server = await startEchoServer();
    const session = new PollingSession(server);
    await session.open();
    await session.post(["40", "40/custom,"].join(SEPARATOR));
    const packets = [];
    while (packets.length < 4) packets.push(...(await session.packets()));
    const joins = packets.filter((packet) => packet.startsWith("40"));
    expect(joins[0]).toMatch(/^40\{"sid":/);
    expect(joins[1]).toMatch(/^40\/custom,\{"sid":/);
    expect(packets.filter((packet) => packet.startsWith("42"))).toEqual([
      '42["auth",{}]',
      '42/custom,["auth",{}]',
    ]);
  });
});

describe("Socket.IO disconnect", () => {
  test("a disconnect packet leaves the namespace and keeps the session", async () => {
    const server = await startEchoServer();
    const peer = await openEcho(server);
    peer.send("41");
    peer.send("40/custom,");
    expect(await peer.next()).toMatch(/^40\/custom,\{"sid":/);
  });

  test("a disconnect packet of one namespace leaves the others", async () => {
    const server = await startEchoServer();
    const peer = await openEcho(server);
    peer.send("40/custom,");
    expect(await peer.next()).toMatch(/^40\/custom,\{"sid":/);
    expect(await peer.next()).toBe('42/custom,["auth",{}]');
    peer.send("41/custom,");
    peer.send('42["message",1]');
    expect(await peer.next()).toBe('42["message-back",1]');
  });
});

describe("Socket.IO messages", () => {
  test("an event in text is echoed", async () => {
    const server = await startEchoServer();
    const peer = await openEcho(server);
    peer.send('42["message",1,"2",{"3":[true]}]');
    expect(await peer.next()).toBe('42["message-back",1,"2",{"3":[true]}]');
  });

  test("an event with attachments is echoed with attachments", async () => {
    const server = await startEchoServer();
    const peer = await openEcho(server);
    const packet = (name) => `452-["${name}",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`;
    peer.send(packet("message"));
    peer.send(Buffer.from([1, 2, 3]));
    peer.send(Buffer.from([4, 5, 6]));
    expect(await peer.next()).toBe(packet("message-back"));
    expect(await peer.next()).toEqual(Buffer.from([1, 2, 3]));
    expect(await peer.next()).toEqual(Buffer.from([4, 5, 6]));
  });

  test("an event with an ack id is answered with that id", async () => {
    const server = await startEchoServer();
    const peer = await openEcho(server);
    peer.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    expect(await peer.next()).toBe('43456[1,"2",{"3":[false]}]');
    peer.send('420["message-with-ack"]');
    expect(await peer.next()).toBe("430[]");
  });

  test("an event with attachments and an ack id is answered in kind", async () => {
    const server = await startEchoServer();
    const peer = await openEcho(server);
    peer.send('452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
    peer.send(Buffer.from([1, 2, 3]));
    peer.send(Buffer.from([4, 5, 6]));
    expect(await peer.next()).toBe('462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
    expect(await peer.next()).toEqual(Buffer.from([1, 2, 3]));
    expect(await peer.next()).toEqual(Buffer.from([4, 5, 6]));
  });
});
