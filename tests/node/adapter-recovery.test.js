"use strict";

const { EventEmitter } = require("node:events");
const { Adapter, ClusterAdapter, SessionAwareAdapter } = require("socket.io-adapter");
const {
  POLLING,
  WEBSOCKET,
  barrier,
  connected,
  deferred,
  eventually,
  ferrioOnly,
  once,
  openWebSocket,
  record,
  startServer,
  within,
} = require("./support");

const RECOVERY = { connectionStateRecovery: { maxDisconnectionDuration: 60000 } };

/** An adapter for nodes of one process that share their sessions and the events since. */
function sharing() {
  const bus = new EventEmitter().setMaxListeners(0);
  const sessions = new Map();
  const log = [];
  class Sharing extends ClusterAdapter {
    constructor(nsp) {
      super(nsp);
      this.hear = (message, offset) => this.onMessage(structuredClone(message), offset);
      bus.on("message", this.hear);
    }
    serverCount() {
      return Promise.resolve(bus.listenerCount("message"));
    }
    async doPublish(message) {
      const offset = `${log.length}`;
      log.push(structuredClone(message));
      bus.emit("message", message, offset);
      return offset;
    }
    async doPublishResponse() {}
    persistSession(session) {
      sessions.set(session.pid, structuredClone(session));
    }
    async restoreSession(pid, offset) {
      await new Promise(setImmediate);
      const session = sessions.get(pid);
      sessions.delete(pid);
      if (session === undefined) return null;
      const missedPackets = [];
      for (let i = Number(offset) + 1; i < log.length; i += 1) {
        const { opts, packet } = log[i].data;
        const isMeant = opts.rooms.length === 0 || opts.rooms.some((room) => session.rooms.includes(room));
        if (isMeant) missedPackets.push([...packet.data, `${i}`]);
      }
      return { ...session, missedPackets };
    }
    close() {
      bus.off("message", this.hear);
    }
  }
  return { Sharing, sessions, log };
}

/** Breaks the connection without leaving the namespace and waits until the server has seen it. */
async function cut({ client, socket }) {
  const gone = once(socket, "disconnect");
  client.io.engine.close();
  await gone;
}

/** Connects a client again, to `server`, and returns the new socket. */
async function comeBack(server, { client, socket }) {
  client.io.uri = server.url;
  const { hostname, port } = new URL(server.url);
  Object.assign(client.io.opts, { hostname, port });
  client.connect();
  await connected(client);
  return eventually(() => {
    const current = server.sockets.get(client.id);
    return current !== socket && current;
  });
}

/** A pair whose client has heard one event, from which on it knows what it misses. */
async function recoverablePair(server, options) {
  const pair = await server.pair("/", options);
  const first = once(pair.client, "first");
  pair.socket.emit("first");
  await first;
  return { ...pair, heard: record(pair.client) };
}

describe("recovery by an adapter", () => {
  test("SessionAwareAdapter gives back id, rooms, data and what was missed", async () => {
    const server = await startServer({ ...RECOVERY, adapter: SessionAwareAdapter });
    for (const transport of [WEBSOCKET, POLLING]) {
      const pair = await recoverablePair(server, transport);
      const { id } = pair.client;
      pair.socket.join("room");
      pair.socket.data = { user: "ann" };
      await cut(pair);
      server.io.to("room").emit("missed", 1, { bytes: Buffer.from([1, 2]) });
      server.io.to("elsewhere").emit("not meant");
      server.io.to(id).emit("missed", 2);
      server.io.volatile.emit("volatile");
      const order = [];
      pair.client.onAny((name, n) => order.push([name, n]));
      pair.client.on("connect", () => order.push(["connect", pair.client.recovered]));
      const again = await comeBack(server, pair);
      expect(pair.client.id).toBe(id);
      expect(again.recovered).toBe(true);
      expect(again.data).toEqual({ user: "ann" });
      expect([...again.rooms].sort()).toEqual([id, "room"].sort());
      await eventually(() => order.length === 3);
      expect(order.sort()).toEqual([
        ["connect", true],
        ["missed", 1],
        ["missed", 2],
      ]);
      expect(pair.heard).toEqual([
        ["missed", 1, { bytes: Buffer.from([1, 2]) }, expect.any(String)],
        ["missed", 2, expect.any(String)],
      ]);
      again.emit("new");
      await eventually(() => pair.heard.length === 3);
      pair.client.disconnect();
    }
  });

  test("a client comes back to another node of the cluster", async () => {
    const { Sharing } = sharing();
    const nodes = [];
    for (let i = 0; i < 2; i += 1) nodes.push(await startServer({ ...RECOVERY, adapter: Sharing }));
    const pair = await recoverablePair(nodes[0]);
    pair.socket.join("room");
    pair.socket.data.n = 1;
    await cut(pair);
    for (let i = 0; i < 20; i += 1) nodes[i % 2].io.to("room").emit("missed", i);
    await eventually(() => nodes[0].io.of("/").sockets.size === 0);
    const again = await comeBack(nodes[1], pair);
    expect(again.recovered && pair.client.recovered).toBe(true);
    expect(again.rooms).toEqual(new Set([again.id, "room"]));
    expect(again.data).toEqual({ n: 1 });
    await barrier(pair.client);
    const missed = pair.heard.filter(([name]) => name === "missed");
    expect(missed.map(([, i]) => i)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    nodes[0].io.to("room").emit("missed", 20);
    await eventually(() => pair.heard.at(-1)[1] === 20);
  });

  test("what it missed stands before the CONNECT packet", async () => {
    const server = await startServer({ ...RECOVERY, adapter: SessionAwareAdapter });
    const peer = await openWebSocket(server, { join: false });
    peer.send("40");
    const { sid, pid } = JSON.parse((await peer.next()).slice(2));
    expect([sid.length, pid.length]).toEqual([20, 20]);
    const socket = await eventually(() => server.sockets.get(sid));
    socket.emit("first", 1);
    const [, , offset] = JSON.parse((await peer.next()).slice(2));
    const gone = once(socket, "disconnect");
    peer.close();
    await gone;
    server.io.emit("missed", 1);
    server.io.emit("missed", 2);
    const back = await openWebSocket(server, { join: false });
    back.send(`40${JSON.stringify({ pid, offset })}`);
    const packets = [await back.next(), await back.next(), await back.next()];
    expect(packets.map((packet) => packet.slice(0, 2))).toEqual(["42", "42", "40"]);
    expect(packets.slice(0, 2).map((packet) => JSON.parse(packet.slice(2)).slice(0, 2))).toEqual([
      ["missed", 1],
      ["missed", 2],
    ]);
    expect(JSON.parse(packets[2].slice(2))).toEqual({ sid, pid });
  });

  test("middleware is skipped for who comes back, unless asked for", async () => {
    for (const skipMiddlewares of [undefined, false]) {
      const server = await startServer({
        connectionStateRecovery: { ...(skipMiddlewares === false && { skipMiddlewares }) },
        adapter: SessionAwareAdapter,
      });
      expect(server.io.opts.connectionStateRecovery).toEqual({
        maxDisconnectionDuration: 120000,
        skipMiddlewares: skipMiddlewares ?? true,
      });
      const seen = [];
      server.io.use((socket, next) => {
        seen.push(socket.recovered);
        next();
      });
      const pair = await recoverablePair(server);
      await cut(pair);
      await comeBack(server, pair);
      expect(seen).toEqual(skipMiddlewares === false ? [false, true] : [false]);
    }
  });

  test("a session that is not known begins anew, also when the adapter fails", async () => {
    class Failing extends Adapter {
      restoreSession(pid) {
        if (pid === "throw") throw new Error("away");
        return pid === "null" ? null : Promise.reject(new Error("away"));
      }
    }
    const server = await startServer({ ...RECOVERY, adapter: Failing });
    for (const pid of ["throw", "null", "reject"]) {
      const client = await server.connect("/", { auth: { pid, offset: "1" } });
      expect(client.recovered).toBe(false);
      const heard = once(client, "hello");
      server.io.to(client.id).emit("hello");
      await heard;
    }
  });

  test("acks of a socket's own events come, and time out", async () => {
    const server = await startServer({ ...RECOVERY, adapter: SessionAwareAdapter });
    const { client, socket } = await server.pair();
    client.on("ask", (x, answer) => answer(x + 1, Buffer.from([x])));
    expect(await new Promise((resolve) => socket.emit("ask", 1, (...args) => resolve(args)))).toEqual([
      2,
      Buffer.from([1]),
    ]);
    expect(await socket.timeout(5000).emitWithAck("ask", 2)).toBe(3);
    await expect(socket.timeout(50).emitWithAck("nobody")).rejects.toThrow("operation has timed out");
  });

  test("a session is not kept for who leaves on purpose", async () => {
    const { Sharing, sessions } = sharing();
    const server = await startServer({ ...RECOVERY, adapter: Sharing });
    const left = await server.pair();
    const gone = once(left.socket, "disconnect");
    left.client.disconnect();
    await gone;
    const put = await server.pair();
    put.socket.disconnect();
    expect(sessions.size).toBe(0);
    const lost = await server.pair();
    lost.socket.join("room");
    await cut(lost);
    expect([...sessions.values()]).toEqual([
      { sid: lost.socket.id, pid: expect.any(String), rooms: [lost.socket.id, "room"], data: {} },
    ]);
    await server.pair();
    await server.close();
    expect(sessions.size).toBe(2);
  });

  test("a client that leaves while its session is looked for leaves nothing behind", async () => {
    const looking = deferred();
    const looked = deferred();
    class Slow extends SessionAwareAdapter {
      async restoreSession() {
        looking.resolve();
        await looked.promise;
        return { sid: "former", pid: "former-pid", rooms: ["former", "room"], data: {}, missedPackets: [] };
      }
    }
    const server = await startServer({ ...RECOVERY, adapter: Slow, cleanupEmptyChildNamespaces: true });
    server.io.of(/^\/dynamic$/);
    const connections = [];
    server.io.of(/^\/dynamic$/).on("connection", (socket) => connections.push(socket));
    const client = server.client("/dynamic", { auth: { pid: "a", offset: "1" } });
    await looking.promise;
    client.io._close();
    await eventually(() => server.io.engine.clientsCount === 0);
    looked.resolve();
    await eventually(() => (server.io._nsps.get("/dynamic")?.sockets.size ?? 0) === 0);
    expect(connections).toEqual([]);
  });
});

ferrioOnly("the official server has no such state, or ends otherwise", () => {
  test("nothing is held for clients that left while their sessions were looked for", async () => {
    const looked = deferred();
    let nLooking = 0;
    class Slow extends SessionAwareAdapter {
      async restoreSession() {
        nLooking += 1;
        await looked.promise;
        return { sid: `s${nLooking}`, pid: "p", rooms: [], data: {}, missedPackets: [] };
      }
    }
    const server = await startServer({ ...RECOVERY, adapter: Slow, cleanupEmptyChildNamespaces: true });
    server.io.of(/^\/dynamic-/);
    const clients = [];
    for (let i = 0; i < 10; i += 1) {
      clients.push(server.client(`/dynamic-${i}`, { auth: { pid: "a", offset: "1" } }));
    }
    await eventually(() => nLooking === 10);
    for (const client of clients.slice(0, 5)) client.io._close();
    await eventually(() => server.io.engine.clientsCount === 5);
    looked.resolve();
    await within(Promise.all(clients.slice(5).map(connected)), "the others to connect");
    expect(clients.slice(5).every(({ recovered }) => recovered === false)).toBe(true);
    for (const client of clients.slice(5)) client.disconnect();
    await eventually(() => server.io._nsps.size === 1);
    await eventually(() => {
      const held = server.io._held();
      return held.sockets + held.ownSockets + held.waiting + held.connectRequests === 0;
    });
  });

  test("an adapter that never answers keeps neither namespaces nor clients", async () => {
    class Silent extends Adapter {
      restoreSession() {
        return new Promise(() => {});
      }
    }
    const server = await startServer({ ...RECOVERY, adapter: Silent, cleanupEmptyChildNamespaces: true });
    server.io.of(/^\/dynamic$/);
    const client = server.client("/dynamic", { auth: { pid: "a", offset: "1" } });
    await eventually(() => server.io._held().restoring === 1);
    client.io._close();
    await eventually(() => server.io._nsps.size === 1);
    expect(server.io._held()).toMatchObject({ restoring: 0, sockets: 0, ownSockets: 0 });
    const other = server.client("/dynamic", { auth: { pid: "a", offset: "1" } });
    await eventually(() => server.io._held().restoring === 1);
    await server.close();
    expect(server.io._held().restoring).toBe(0);
    other.io._close();
  });

  test("ids of a session that could not stand in a packet are not taken", async () => {
    const sessions = {
      quote: { sid: 'a"b\\', pid: 'p"', rooms: [], data: {}, missedPackets: [] },
      number: { sid: 5, pid: "p", rooms: [], data: {}, missedPackets: [] },
      lone: { sid: "\ud800", pid: "p", rooms: [], data: {}, missedPackets: [] },
      parts: { sid: "a", pid: "p", data: {} },
    };
    class Odd extends Adapter {
      async restoreSession(pid) {
        return sessions[pid];
      }
    }
    const server = await startServer({ ...RECOVERY, adapter: Odd });
    for (const pid of Object.keys(sessions)) {
      const client = await server.connect("/", { auth: { pid, offset: "1" } });
      if (pid === "quote") expect(client.id).toBe('a"b\\');
      else expect(client.id).toHaveLength(20);
    }
  });

  test("the core's own recovery ends when another adapter is set later", async () => {
    const server = await startServer(RECOVERY);
    const before = await recoverablePair(server);
    await cut(before);
    server.io.adapter(SessionAwareAdapter);
    before.client.connect();
    await connected(before.client);
    expect(before.client.recovered).toBe(false);
    expect(server.io._held().retained).toBe(0);
    const after = await recoverablePair(server);
    await cut(after);
    await comeBack(server, after);
    expect(after.client.recovered).toBe(true);
  });
});
