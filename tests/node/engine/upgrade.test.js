"use strict";

const { SEPARATOR, closing, eventually, listen, once, startEngine } = require("./support");

const UPGRADE = { transports: ["polling", "websocket"] };

/** A polling session by hand and a WebSocket that has probed it. */
async function probed(server) {
  const session = await server.polling();
  const probe = await server.probe(session.sid);
  const upgrading = once(session.socket, "upgrading");
  probe.send("2probe");
  const [transport] = await upgrading;
  expect(await probe.next()).toBe("3probe");
  return { session, probe, transport };
}

/** The same when it has upgraded. */
async function upgraded(server) {
  const { session, probe } = await probed(server);
  const done = once(session.socket, "upgrade");
  probe.send("5");
  await done;
  return { session, probe };
}

describe("an upgrade", () => {
  test("is told when the probe comes and when it is done, with the new transport", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const { socket } = session;
    const old = socket.transport;
    const states = [];
    for (const event of ["upgrading", "upgrade"]) {
      socket.on(event, (transport) => {
        const isNew = socket.transport === transport;
        states.push([event, transport.name, isNew, socket.upgrading, socket.upgraded, socket.transport.name]);
      });
    }
    const probe = await server.probe(session.sid);
    await eventually(() => socket.upgrading);
    expect(states).toEqual([]);
    probe.send("2probe");
    expect(await probe.next()).toBe("3probe");
    const done = once(socket, "upgrade");
    probe.send("5");
    const [transport] = await done;
    expect(states).toEqual([
      ["upgrading", "websocket", false, true, false, "polling"],
      ["upgrade", "websocket", true, false, true, "websocket"],
    ]);
    expect([transport === socket.transport, transport === old]).toEqual([true, false]);
    expect(socket.readyState).toBe("open");
  });

  test("by a client leaves the socket the same", async () => {
    const server = await startEngine();
    const connections = [];
    server.engine.on("connection", (socket) => connections.push(socket));
    const { client, socket } = await server.pair(UPGRADE);
    const { request } = socket;
    if (!socket.upgraded) await once(socket, "upgrade");
    expect(connections).toEqual([socket]);
    expect(socket.request === request).toBe(true);
    expect([socket.id, request._query.transport]).toEqual([client.id, "polling"]);
    const message = once(socket, "message");
    client.send("over WebSocket");
    expect((await message)[0]).toBe("over WebSocket");
  });

  test("ends the poll that waits", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const poll = await session.startPoll();
    const probe = await server.probe(session.sid);
    probe.send("2probe");
    expect(await probe.next()).toBe("3probe");
    expect((await poll.answer).text).toBe("6");
  });

  test("carries over what could not be sent before", async () => {
    const server = await startEngine();
    const { session, probe } = await probed(server);
    const called = [];
    session.socket.send("a", (transport) => called.push(transport.name));
    session.socket.send("b", (transport) => called.push(transport.name));
    probe.send("5");
    expect([await probe.next(), await probe.next()]).toEqual(["4a", "4b"]);
    await eventually(() => called.length === 2);
    expect(called).toEqual(["websocket", "websocket"]);
  });

  test("does not stop what polls bring and take meanwhile", async () => {
    const server = await startEngine();
    const { session } = await probed(server);
    const message = once(session.socket, "message");
    session.socket.send("down");
    expect((await session.poll()).text).toBe("4down");
    await session.post("4up");
    expect((await message)[0]).toBe("up");
  });

  test("loses and doubles nothing between client and server", async () => {
    const server = await startEngine();
    const { client, socket } = await server.pair(UPGRADE);
    const up = [];
    const down = [];
    socket.on("message", (data) => up.push(data));
    client.on("message", (data) => down.push(data));
    let n = 0;
    while (!socket.upgraded || n < 50) {
      client.send(String(n));
      socket.send(String(n));
      n += 1;
      await new Promise(setImmediate);
    }
    const numbers = Array.from({ length: n }, (_, i) => String(i));
    await eventually(() => up.length === n && down.length === n);
    expect([up, down]).toEqual([numbers, numbers]);
  });

  test("makes the server refuse polls", async () => {
    const server = await startEngine();
    const { session, probe } = await upgraded(server);
    const error = server.nextError();
    expect((await session.poll()).status).toBe(400);
    expect((await error).context).toEqual({
      name: "TRANSPORT_MISMATCH",
      transport: "polling",
      previousTransport: "websocket",
    });
    session.socket.send("still here");
    expect(await probe.next()).toBe("4still here");
  });

  test("is possible once", async () => {
    const server = await startEngine();
    const { session, probe } = await upgraded(server);
    const second = await server.probe(session.sid);
    await second.closeCode();
    session.socket.send("still here");
    expect(await probe.next()).toBe("4still here");
  });

  test("is possible for one WebSocket at a time", async () => {
    const server = await startEngine();
    const { session, probe } = await probed(server);
    const second = await server.probe(session.sid);
    await second.closeCode();
    const done = once(session.socket, "upgrade");
    probe.send("5");
    expect((await done)[0].name).toBe("websocket");
  });

  test("given up leaves the session with polling, which may try again", async () => {
    const server = await startEngine();
    const { session, probe, transport } = await probed(server);
    const { socket } = session;
    const closed = once(transport, "close");
    probe.socket.terminate();
    await closed;
    expect([socket.upgrading, socket.upgraded, socket.readyState]).toEqual([false, false, "open"]);
    socket.send("by poll");
    expect((await session.packets()).filter((packet) => packet !== "6")).toEqual(["4by poll"]);
    const second = await server.probe(session.sid);
    second.send("2probe");
    expect(await second.next()).toBe("3probe");
    const done = once(socket, "upgrade");
    second.send("5");
    await done;
  });

  test("with anything but a probe is over", async () => {
    const server = await startEngine();
    const session = await server.polling();
    const probe = await server.probe(session.sid);
    probe.send("4too early");
    await probe.closeCode();
    expect([session.socket.upgrading, session.socket.readyState]).toEqual([false, "open"]);
  });

  test("that takes too long is over, the session is not", async () => {
    const server = await startEngine({ upgradeTimeout: 50 });
    const session = await server.polling();
    const probe = await server.probe(session.sid);
    await probe.closeCode();
    expect([session.socket.upgrading, session.socket.readyState]).toEqual([false, "open"]);
    session.socket.send("by poll");
    expect((await session.packets()).filter((packet) => packet !== "6")).toEqual(["4by poll"]);
  });

  test("ends with the session", async () => {
    const server = await startEngine();
    const { session, probe } = await probed(server);
    expect((await closing(session.socket, () => session.socket.close(true)))[0]).toBe("forced close");
    await probe.closeCode();
  });

  test("may come in while the session closes, and closes then", async () => {
    const server = await startEngine();
    const { session, probe } = await probed(server);
    session.socket.send("last words");
    session.socket.close();
    expect(session.socket.readyState).toBe("closing");
    const closed = once(session.socket, "close");
    probe.send("5");
    expect(await probe.next()).toBe("4last words");
    expect((await closed)[0]).toBe("forced close");
    await probe.closeCode();
  });

  test("is not offered, and not refused, where it is not allowed", async () => {
    const server = await startEngine({ allowUpgrades: false });
    const { client, socket } = await server.pair(UPGRADE);
    const message = once(client, "message");
    socket.send("a");
    await message;
    expect([client.transport.name, socket.upgrading]).toEqual(["polling", false]);
  });

  test("takes the heartbeats along", async () => {
    const server = await startEngine({ pingInterval: 30, pingTimeout: 2000 });
    const { socket } = await server.pair(UPGRADE);
    const heard = [];
    listen(socket, ["heartbeat"], heard);
    if (!socket.upgraded) await once(socket, "upgrade");
    heard.length = 0;
    await eventually(() => heard.length > 1);
    expect(socket.readyState).toBe("open");
  });
});

test("polls during an upgrade get a packet that means nothing, to come back soon", async () => {
  const server = await startEngine();
  const { session } = await probed(server);
  const answer = await session.poll();
  expect(answer.text.split(SEPARATOR)).toEqual(["6"]);
});
