"use strict";

const {
  POLLING,
  WEBSOCKET,
  barrier,
  eventually,
  ferrioOnly,
  once,
  openTcpWebSocket,
  record,
  startServer,
} = require("./support");

/** Far more than the kernel's buffers of a loopback connection take in. */
const CHUNK = "x".repeat(64 * 1024);

/** A raw peer that has stopped reading, with the server's socket of it. */
async function slowReader(server) {
  const peer = await openTcpWebSocket(server);
  const socket = await eventually(() => server.sockets.get(peer.id));
  peer.stopReading();
  return { peer, socket };
}

/** The numbers of the `chunk` events that a raw peer received. */
function numbers(peer) {
  return peer
    .messages()
    .filter((message) => message.startsWith('42["chunk"'))
    .map((message) => JSON.parse(message.slice(2))[1]);
}

/** Broadcasts `count` numbered chunks, one per turn of the event loop. */
async function flood(emitter, count) {
  for (let n = 0; n < count; n += 1) {
    emitter.emit("chunk", n, CHUNK);
    await new Promise(setImmediate);
  }
}

describe("slow-reader", () => {
  test("a reader that stops reading does not hold up the others", async () => {
    const server = await startServer();
    await slowReader(server);
    const clients = [await server.connect("/", WEBSOCKET), await server.connect("/", POLLING)];
    const heard = clients.map(record);
    await flood(server.io, 200);
    await barrier(...clients);
    for (const events of heard) {
      expect(events.map(([, n]) => n)).toEqual(Array.from({ length: 200 }, (_, n) => n));
    }
  });

  test("volatile events to a reader that stops reading are dropped", async () => {
    const server = await startServer();
    const { peer, socket } = await slowReader(server);
    // The flag holds for one emit, as everywhere.
    await flood({ emit: (...args) => socket.volatile.emit(...args) }, 400);
    peer.readAgain();
    await eventually(() => {
      socket.emit("end");
      return peer.messages().includes('42["end"]');
    });
    const arrived = numbers(peer);
    expect(arrived.length).toBeLessThan(400);
    expect(arrived).toEqual([...arrived].sort((a, b) => a - b));
  });
});

ferrioOnly("the official server keeps every packet for a reader that never takes it", () => {
  test("a reader that stops reading does not grow the server's memory without bound", async () => {
    const server = await startServer({ outbox: { maxBytes: 1024 * 1024, policy: "drop-newest" } });
    const { peer, socket } = await slowReader(server);
    await flood(socket, 100);
    const before = process.memoryUsage().rss;
    await flood(socket, 2000);
    // 128 MB were emitted. What the interpreter leaves to its collector is far below half of that.
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
    expect(socket.connected).toBe(true);
    peer.readAgain();
    await eventually(() => {
      socket.emit("end");
      return peer.messages().includes('42["end"]');
    });
    expect(numbers(peer).length).toBeLessThan(2100);
  });

  test("the policy that disconnects closes the slow reader with its own reason", async () => {
    const server = await startServer({ outbox: { maxBytes: 256 * 1024, policy: "disconnect" } });
    const { socket } = await slowReader(server);
    const client = await server.connect();
    const heard = record(client);
    const gone = once(socket, "disconnect");
    for (let n = 0; socket.connected; n += 1) {
      server.io.emit("chunk", n, CHUNK);
      await barrier(client);
      expect(n).toBeLessThan(2000);
    }
    expect((await gone)[0]).toBe("slow reader");
    await barrier(client);
    expect(client.connected).toBe(true);
    expect(heard.map(([, n]) => n)).toEqual(heard.map((_, n) => n));
  });

  test("the policy that drops the oldest keeps the newest events", async () => {
    const server = await startServer({ outbox: { maxBytes: 1024 * 1024, policy: "drop-oldest" } });
    const { peer, socket } = await slowReader(server);
    await flood(socket, 500);
    peer.readAgain();
    await eventually(() => numbers(peer).at(-1) === 499);
    const arrived = numbers(peer);
    expect(arrived.length).toBeLessThan(500);
    expect(arrived).toEqual([...new Set(arrived)].sort((a, b) => a - b));
    expect(socket.connected).toBe(true);
  });

  test("the policy that drops the newest keeps the oldest events", async () => {
    const server = await startServer({ outbox: { maxBytes: 1024 * 1024, policy: "drop-newest" } });
    const { peer, socket } = await slowReader(server);
    await flood(socket, 500);
    peer.readAgain();
    await eventually(() => {
      socket.emit("end");
      return peer.messages().includes('42["end"]');
    });
    const arrived = numbers(peer);
    expect(arrived).not.toContain(499);
    const unbroken = arrived.findIndex((n, position) => n !== position);
    expect(unbroken === -1 ? arrived.length : unbroken).toBeGreaterThan(10);
    expect(socket.connected).toBe(true);
  });
});
