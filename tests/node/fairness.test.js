"use strict";

const { eventually, openPolling, openTcpWebSocket, SEPARATOR, startServer } = require("./support");

/** More events than the server takes at once, and a handler that needs a moment for each. */
const N_EVENTS = 60_000;
const HANDLER_MS = 0.05;

/** A server whose `work` handler keeps it busy, and that counts how often it did. */
async function startBusy(options) {
  const server = await startServer(options);
  const done = { count: 0 };
  server.io.on("connection", (socket) => {
    socket.on("work", () => {
      done.count += 1;
      const end = performance.now() + HANDLER_MS;
      while (performance.now() < end);
    });
    socket.on("count", (answer) => answer(done.count));
  });
  return { server, done };
}

/** A client that sends all its events at once and reads nothing. */
async function openFlooder(server) {
  const flooder = await openTcpWebSocket(server);
  flooder.stopReading();
  flooder.frames(Array(N_EVENTS).fill('42["work"]'));
  return flooder;
}

describe("fairness", () => {
  test("a flooder does not cost a quiet client its connection", async () => {
    const { server, done } = await startBusy({ pingInterval: 100, pingTimeout: 500 });
    const quiet = [await server.connect("/", { transports: ["websocket"] })];
    quiet.push(await server.connect("/", { transports: ["polling"] }));
    const lost = jest.fn();
    for (const client of quiet) client.on("disconnect", lost);
    await openFlooder(server);
    await eventually(() => done.count >= N_EVENTS || server.io.engine.clientsCount < 3);
    for (const client of quiet) expect(await client.timeout(10000).emitWithAck("count")).toBeGreaterThan(0);
    expect(lost).not.toHaveBeenCalled();
  });

  test("a client beside a flooder is answered while the flood goes on", async () => {
    const { server, done } = await startBusy();
    const client = await server.connect();
    await openFlooder(server);
    const counts = [];
    while (done.count < N_EVENTS / 2) counts.push(await client.timeout(10000).emitWithAck("count"));
    expect(counts.length).toBeGreaterThan(3);
    expect(counts.filter((count) => count > 0 && count < N_EVENTS / 2).length).toBeGreaterThan(1);
  });

  test("all events of one long body reach their handler in order", async () => {
    const server = await startServer();
    const heard = [];
    server.io.on("connection", (socket) => socket.on("n", (n) => heard.push(n)));
    const session = await openPolling(server);
    const packets = Array.from({ length: 20_000 }, (_, n) => `42["n",${n}]`);
    expect((await session.post([...packets, '421["barrier"]'].join(SEPARATOR))).text).toBe("ok");
    expect(await session.packets()).toEqual(["431[]"]);
    expect(heard).toEqual(Array.from({ length: 20_000 }, (_, n) => n));
  });

  test("a body of many close packets is answered like one", async () => {
    const server = await startServer();
    const { socket } = await server.pair();
    const session = await openPolling(server);
    const gone = new Promise((resolve) => {
      for (const other of server.sockets.values()) if (other !== socket) other.once("disconnect", resolve);
    });
    expect((await session.post(Array(100_000).fill("1").join(SEPARATOR))).text).toBe("ok");
    expect(await gone).toBe("transport close");
  });
});
