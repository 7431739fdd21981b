"use strict";

const { POLLING, closing, eventually, listen, nextEnd, once, startEngine } = require("./support");

const UPGRADE = { transports: ["polling", "websocket"] };

const start = (options) => startEngine({ allowEIO3: true, ...options });

describe("the third revision", () => {
  test.each(["polling", "websocket"])("carries text and bytes both ways (%s)", async (transport) => {
    const server = await start();
    const { client, socket } = await server.pair({}, server.clientVersion3({ transports: [transport] }));
    expect([socket.protocol, socket.transport.name, socket.id]).toEqual([3, transport, client.id]);
    for (const data of ["text", "ç€😀", Buffer.from([1, 2, 254])]) {
      const up = once(socket, "message");
      client.send(data);
      expect((await up)[0]).toEqual(data);
      const down = once(client, "message");
      socket.send(data);
      expect((await down)[0]).toEqual(data);
    }
  });

  test("upgrades", async () => {
    const server = await start();
    const { client, socket } = await server.pair({}, server.clientVersion3(UPGRADE));
    if (!socket.upgraded) await once(socket, "upgrade");
    const message = once(client, "message");
    socket.send("by WebSocket");
    expect([(await message)[0], socket.transport.name]).toEqual(["by WebSocket", "websocket"]);
  });

  test("is asked for by any EIO but 4", async () => {
    const server = await start();
    for (const query of ["", "EIO=3&", "EIO=2&"]) {
      const answer = await server.request(`${query}transport=polling&b64=1`);
      expect(answer.text).toMatch(/^\d+:0{/);
    }
  });

  test("has the client ask for heartbeats", async () => {
    const server = await start();
    const webSocket = await server.webSocket({ protocol: 3 });
    const heard = [];
    listen(webSocket.engineSocket, ["packet", "packetCreate"], heard, ({ type }) => [type]);
    listen(webSocket.engineSocket, ["heartbeat"], heard);
    webSocket.send("2");
    expect(await webSocket.next()).toBe("3");
    expect(heard).toEqual(["packet ping", "packetCreate pong", "heartbeat"]);
  });

  test("waits for them for interval and timeout together", async () => {
    const server = await start({ pingInterval: 20, pingTimeout: 20 });
    const end = nextEnd(server);
    const webSocket = await server.webSocket({ protocol: 3 });
    expect((await end)[0]).toBe("ping timeout");
    await webSocket.closeCode();
  });

  test("refuses a pong of the client", async () => {
    const server = await start();
    const webSocket = await server.webSocket({ protocol: 3 });
    const [reason, error] = await closing(webSocket.engineSocket, () => webSocket.send("3"));
    expect([reason, error.message]).toEqual(["transport error", "invalid heartbeat direction"]);
  });

  test("answers polls with lengths, and with bytes when the client can", async () => {
    const server = await start();
    const text = await server.polling({ protocol: 3, query: "&b64=1" });
    text.socket.send("ç");
    text.socket.send(Buffer.from([1, 2]));
    expect((await text.poll()).text).toBe("2:4ç6:b4AQI=");
    const binary = await server.polling({ protocol: 3 });
    binary.socket.send("a");
    binary.socket.send(Buffer.from([1, 2]));
    const answer = await binary.poll();
    expect(answer.headers["content-type"]).toBe("application/octet-stream");
    expect([...answer.body]).toEqual([0, 2, 255, 0x34, 0x61, 1, 3, 255, 4, 1, 2]);
  });

  test("takes bodies with lengths, and bytes", async () => {
    const server = await start();
    const session = await server.polling({ protocol: 3 });
    const heard = [];
    session.socket.on("message", (data) => heard.push(data));
    await session.post("2:4a2:4b");
    const body = Buffer.from([1, 3, 255, 4, 1, 2]);
    await session.post(body, { headers: { "content-type": "application/octet-stream" } });
    expect(heard).toEqual(["a", "b", Buffer.from([1, 2])]);
  });

  test("ends a poll of a session that closes", async () => {
    const server = await start();
    const session = await server.polling({ protocol: 3 });
    const poll = await session.startPoll();
    await eventually(() => session.socket.transport.writable);
    session.socket.close();
    expect((await poll.answer).text).toBe("1:1");
  });

  test("lives beside the fourth", async () => {
    const server = await start();
    const older = await server.pair({}, server.clientVersion3(POLLING));
    const newer = await server.pair(POLLING);
    expect([older.socket.protocol, newer.socket.protocol, server.engine.clientsCount]).toEqual([3, 4, 2]);
  });
});
