"use strict";

const crypto = require("node:crypto");
const zlib = require("node:zlib");
const { SEPARATOR, eventually, once, startEngine } = require("./support");

const LONG = "long ".repeat(1000);

/** What a client with these extensions in its handshake agrees on with the server. */
async function agreed(server, options) {
  const client = server.client(options);
  const opened = once(client, "open");
  await once(client.transport.ws, "upgrade");
  await opened;
  return { client, extensions: client.transport.ws.extensions };
}

describe("initialPacket", () => {
  test("comes with the handshake over polling, and behind it over WebSocket", async () => {
    const server = await startEngine({ initialPacket: "welcome" });
    const session = await server.polling();
    const [open, ...rest] = session.opening.text.split(SEPARATOR);
    expect([JSON.parse(open.slice(1)).sid, rest]).toEqual([session.sid, ["4welcome"]]);
    const webSocket = await server.webSocket();
    expect(await webSocket.next()).toBe("4welcome");
  });

  test("may be bytes", async () => {
    const server = await startEngine({ initialPacket: Buffer.from([1, 2, 3]) });
    const session = await server.polling();
    expect(session.opening.text.split(SEPARATOR)[1]).toBe("bAQID");
    const webSocket = await server.webSocket();
    expect([...(await webSocket.next())]).toEqual([1, 2, 3]);
  });

  test("comes before what the connection event sends", async () => {
    const server = await startEngine({ initialPacket: "first" });
    server.engine.on("connection", (socket) => socket.send("second"));
    const client = server.client();
    const heard = [];
    client.on("message", (data) => heard.push(data));
    await eventually(() => heard.length === 2);
    expect(heard).toEqual(["first", "second"]);
  });
});

describe("compression of polling answers", () => {
  /** The answer to a poll that brings `data`. */
  async function polled(options, data, sendOptions, encodings = "gzip, deflate") {
    const server = await startEngine(options);
    const session = await server.polling();
    session.socket.send(data, sendOptions);
    return session.poll({ headers: { "accept-encoding": encodings } });
  }

  test.each([
    ["gzip, deflate", "gzip", zlib.gunzipSync],
    ["deflate", "deflate", zlib.inflateSync],
  ])("asked for by '%s' is %s", async (encodings, encoding, decode) => {
    const answer = await polled({}, LONG, undefined, encodings);
    expect(answer.headers["content-encoding"]).toBe(encoding);
    expect(decode(answer.body).toString()).toBe(`4${LONG}`);
  });

  test.each([
    ["the client does not ask", {}, LONG, undefined, "identity"],
    ["the answer is short", {}, "short", undefined, "gzip"],
    ["the message says so", {}, LONG, { compress: false }, "gzip"],
    ["the server does not want it", { httpCompression: false }, LONG, undefined, "gzip"],
  ])("is left out when %s", async (_when, options, data, sendOptions, encodings) => {
    const answer = await polled(options, data, sendOptions, encodings);
    expect(answer.headers["content-encoding"]).toBeUndefined();
    expect(answer.text).toBe(`4${data}`);
  });

  test("begins at a length of one's own", async () => {
    const answer = await polled({ httpCompression: { threshold: 0 } }, "short");
    expect(answer.headers["content-encoding"]).toBe("gzip");
  });

  test("calls back, too", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const called = new Promise((resolve) => session.socket.send(LONG, resolve));
    await session.poll({ headers: { "accept-encoding": "gzip" } });
    expect((await called) === session.socket.transport).toBe(true);
  });
});

describe("compression of WebSockets", () => {
  test("is off by default", async () => {
    const server = await startEngine();
    expect((await agreed(server, { perMessageDeflate: true })).extensions).toBe("");
  });

  test("can be agreed on", async () => {
    const server = await startEngine({ perMessageDeflate: true });
    server.engine.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    const { client, extensions } = await agreed(server, { perMessageDeflate: true });
    expect(extensions).toContain("permessage-deflate");
    const message = once(client, "message");
    client.send(LONG);
    expect((await message)[0]).toBe(LONG);
  });
});

describe("large messages", () => {
  test("arrive whole up to maxHttpBufferSize", async () => {
    const server = await startEngine({ maxHttpBufferSize: 3e5 });
    const text = crypto.randomBytes(1e5).toString("hex");
    for (const transports of [["polling"], ["websocket"]]) {
      const { client, socket } = await server.pair({ transports });
      const up = once(socket, "message");
      client.send(text);
      expect((await up)[0] === text).toBe(true);
      const down = once(client, "message");
      socket.send(text);
      expect((await down)[0] === text).toBe(true);
    }
  });

  test("may come in pieces", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const message = once(session.socket, "message");
    const answer = await session.post(Buffer.from("4123"), { headers: { "transfer-encoding": "chunked" } });
    expect([answer.status, (await message)[0]]).toEqual([200, "123"]);
  });
});

describe("polling by script", () => {
  test("wraps answers in a call", async () => {
    const server = await startEngine();
    const opening = await server.request("EIO=4&transport=polling&j=7");
    expect(opening.text.startsWith('___eio[7]("0{')).toBe(true);
    expect(opening.headers["content-type"]).toBe("text/plain; charset=UTF-8");
    const { sid } = JSON.parse(JSON.parse(opening.text.slice("___eio[7](".length, -2)).slice(1));
    const socket = await server.socket(sid);
    expect(socket.transport.name).toBe("polling");
    socket.send('"\u2028');
    const answer = await server.request(`EIO=4&transport=polling&j=8&sid=${sid}`);
    // The number is that of the first request.
    expect(answer.text).toBe('___eio[7]("4\\"\\u2028");');
  });

  test("takes forms, with escaped ends of lines", async () => {
    const server = await startEngine();
    const opening = await server.request("EIO=4&transport=polling&j=0");
    const sid = opening.text.match(/\\"sid\\":\\"([^\\]+)/)[1];
    const message = once(await server.socket(sid), "message");
    const answer = await server.request(`EIO=4&transport=polling&j=0&sid=${sid}`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: `d=${encodeURIComponent("4a\\nb\\\\nc")}`,
    });
    expect([answer.status, (await message)[0]]).toEqual([200, "a\nb\\nc"]);
  });
});
