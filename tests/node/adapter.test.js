"use strict";

const { execFile } = require("node:child_process");
const path = require("node:path");
const { Adapter: NpmAdapter } = require("socket.io-adapter");
const { Server: OfficialServer } = require("socket.io");
const { PacketType } = require("socket.io-parser");
const {
  POLLING,
  WEBSOCKET,
  afterThisTest,
  barrier,
  connected,
  deferred,
  eventually,
  ferrioOnly,
  once,
  open,
  portOf,
  record,
  startServer,
  underTest,
  within,
} = require("./support");
const { OwnAdapter } = require("./support/own-adapter");

/** An adapter that notes what is asked of it. */
function noting(Base = NpmAdapter) {
  const calls = [];
  class Noting extends Base {
    addAll(id, rooms) {
      calls.push(["addAll", id, [...rooms]]);
      return super.addAll(id, rooms);
    }
    del(id, room) {
      calls.push(["del", id, room]);
      return super.del(id, room);
    }
    delAll(id) {
      calls.push(["delAll", id]);
      return super.delAll(id);
    }
    broadcast(packet, opts) {
      calls.push(["broadcast", packet.data, [...opts.rooms], [...opts.except], { ...opts.flags }]);
      return super.broadcast(packet, opts);
    }
    close() {
      calls.push(["close", this.nsp.name]);
    }
  }
  return { Noting, calls };
}

describe("adapters of other packages", () => {
  test("a class, and a function that returns an adapter, are taken as option and by io.adapter()", async () => {
    const made = [];
    class Mine extends NpmAdapter {
      constructor(nsp) {
        super(nsp);
        made.push(nsp.name);
      }
      init() {
        made.push(`init ${this.nsp.name}`);
      }
    }
    function factory(nsp) {
      return new Mine(nsp);
    }
    for (const make of [Mine, factory]) {
      made.length = 0;
      const { io } = await startServer({ adapter: make });
      expect(io.adapter()).toBe(make);
      io.of("/other");
      expect(made).toEqual(["/", "init /", "/other", "init /other"]);
      expect(io.of("/").adapter).toBeInstanceOf(Mine);
    }
    made.length = 0;
    const { io } = await startServer();
    io.of("/other");
    const before = io.of("/other").adapter;
    expect(io.adapter(Mine)).toBe(io);
    expect(made).toEqual(["/", "init /", "/other", "init /other"]);
    expect(io.of("/other").adapter).not.toBe(before);
  });

  test("a namespace can have an adapter of its own", async () => {
    const server = await startServer();
    const { Noting, calls } = noting();
    const own = server.watch("/own");
    own.adapter = new Noting(own);
    const { client } = await server.pair("/own");
    const { client: other } = await server.pair("/");
    const [heard, heardByOther] = [record(client), record(other)];
    own.emit("a", 1);
    server.io.emit("b", 2);
    await barrier(client, other);
    expect(heard).toEqual([["a", 1]]);
    expect(heardByOther).toEqual([["b", 2]]);
    expect(calls.filter(([name]) => name === "broadcast")).toEqual([["broadcast", ["a", 1], [], [], {}]]);
  });

  test("everything that concerns rooms goes through it", async () => {
    const { Noting, calls } = noting();
    const server = await startServer({ adapter: Noting });
    const { client, socket } = await server.pair();
    const { client: other, socket: otherSocket } = await server.pair();
    expect(calls).toEqual([
      ["addAll", socket.id, [socket.id]],
      ["addAll", otherSocket.id, [otherSocket.id]],
    ]);
    calls.length = 0;
    socket.join(["a", "b"]);
    socket.leave("b");
    socket.to("a").volatile.emit("x");
    server.io
      .to("a")
      .except("c")
      .local.compress(false)
      .emit("y", Buffer.from([1]));
    expect(calls).toEqual([
      ["addAll", socket.id, ["a", "b"]],
      ["del", socket.id, "b"],
      ["broadcast", ["x"], ["a"], [socket.id], { volatile: true }],
      ["broadcast", ["y", Buffer.from([1])], ["a"], ["c"], { local: true, compress: false }],
    ]);
    const heard = record(client);
    calls.length = 0;
    server.io.in("a").socketsJoin(["d"]);
    server.io.in("d").socketsLeave("a");
    expect(calls).toEqual([
      ["addAll", socket.id, ["d"]],
      ["del", socket.id, "a"],
    ]);
    server.io.to("d").emit("z");
    await barrier(client, other);
    expect(heard).toEqual([["y", Buffer.from([1])], ["z"]]);
    calls.length = 0;
    const gone = once(socket, "disconnect");
    client.disconnect();
    await gone;
    expect(calls).toEqual([["delAll", socket.id]]);
    socket.join("late");
    expect(calls).toHaveLength(1);
  });

  test("its maps show the rooms at any time", async () => {
    const server = await startServer({ adapter: NpmAdapter });
    const { adapter } = server.io.of("/");
    const { socket } = await server.pair();
    socket.join("a");
    expect(adapter.rooms.get("a")).toEqual(new Set([socket.id]));
    expect([...adapter.sids.keys()]).toEqual([socket.id]);
    expect([...adapter.sids.get(socket.id)].sort()).toEqual([socket.id, "a"].sort());
    expect(adapter.socketRooms(socket.id)).toEqual(new Set([socket.id, "a"]));
    expect(await adapter.sockets(new Set(["a"]))).toEqual(new Set([socket.id]));
    socket.leave("a");
    expect(adapter.rooms.has("a")).toBe(false);
    const gone = once(socket, "disconnect");
    socket.disconnect();
    await gone;
    expect(adapter.rooms.size + adapter.sids.size).toBe(0);
  });

  test("it emits the events of rooms", async () => {
    const server = await startServer({ adapter: NpmAdapter });
    const told = [];
    for (const event of ["create-room", "join-room", "leave-room", "delete-room"]) {
      server.io.of("/").adapter.on(event, (...args) => told.push([event, ...args]));
    }
    const { socket } = await server.pair();
    socket.join("a");
    server.io.socketsLeave("a");
    const { id } = socket;
    const gone = once(socket, "disconnect");
    socket.disconnect();
    await gone;
    expect(told).toEqual([
      ["create-room", id],
      ["join-room", id, id],
      ["create-room", "a"],
      ["join-room", "a", id],
      ["leave-room", "a", id],
      ["delete-room", "a"],
      ["leave-room", id, id],
      ["delete-room", id],
    ]);
  });

  test("rooms joined in middleware count from the connection on", async () => {
    const server = await startServer({ adapter: NpmAdapter });
    server.io.use((socket, next) => {
      socket.join("early");
      next();
    });
    const { client, socket } = await server.pair();
    expect(socket.rooms).toEqual(new Set([socket.id, "early"]));
    const heard = once(client, "hello");
    server.io.to("early").emit("hello", 1);
    expect(await heard).toEqual([1]);
  });

  test("a client that is refused, or leaves in middleware, leaves its rooms", async () => {
    const { Noting, calls } = noting(OwnAdapter);
    const server = await startServer({ adapter: Noting });
    const waiting = [];
    server.io.use((socket, next) => {
      socket.join("early");
      waiting.push({ socket, next });
    });
    const refused = server.client();
    await eventually(() => waiting.length === 1);
    const error = once(refused, "connect_error");
    waiting[0].next(new Error("no"));
    await error;
    const gone = server.client();
    await eventually(() => waiting.length === 2);
    for (const client of [refused, gone]) client.io._close();
    await eventually(() => server.io.engine.clientsCount === 0);
    waiting[1].next();
    const ids = waiting.map(({ socket }) => socket.id);
    await eventually(() => calls.length === 4);
    expect(calls).toEqual([
      ["addAll", ids[0], ["early"]],
      ["delAll", ids[0]],
      ["addAll", ids[1], ["early"]],
      ["delAll", ids[1]],
    ]);
    waiting[0].socket.join("late");
    expect(calls).toHaveLength(4);
  });

  test("what it says to super.broadcast reaches local sockets by every transport and to outgoing listeners", async () => {
    class Late extends NpmAdapter {
      async broadcast(packet, opts) {
        await Promise.resolve();
        packet.data.push("from the adapter");
        super.broadcast(packet, opts);
      }
    }
    const server = await startServer({ adapter: Late, allowEIO3: true });
    const pairs = [await server.pair("/", WEBSOCKET), await server.pair("/", POLLING)];
    const outgoing = [];
    pairs[0].socket.onAnyOutgoing((...args) => outgoing.push(args));
    const heard = pairs.map(({ client }) => once(client, "event"));
    server.io.emit("event", { bytes: Buffer.from([1, 2]), text: "ü" });
    const expected = [{ bytes: Buffer.from([1, 2]), text: "ü" }, "from the adapter"];
    for (const one of heard) expect(await one).toEqual(expected);
    expect(outgoing).toEqual([["event", ...expected]]);
  });

  test("acks of a broadcast through it", async () => {
    const server = await startServer({ adapter: NpmAdapter });
    const pairs = [await server.pair(), await server.pair(), await server.pair("/", POLLING)];
    pairs.forEach(({ client }, i) => client.on("ask", (x, answer) => answer(`${x} ${i}`, Buffer.from([i]))));
    const answers = await server.io.timeout(5000).emitWithAck("ask", "hello");
    expect(answers.sort()).toEqual(["hello 0", "hello 1", "hello 2"]);
    expect(await server.io.to("nobody").timeout(5000).emitWithAck("ask", 1)).toEqual([]);
    pairs[1].client.off("ask");
    const missing = server.io.timeout(2000).emitWithAck("ask", "again");
    const error = await missing.catch((caught) => caught);
    expect(error.message).toBe("operation has timed out");
    expect(error.responses.sort()).toEqual(["again 0", "again 2"]);
  });

  test("each answer comes as it is given, once, with the number of sockets at once", async () => {
    const server = await startServer({ adapter: NpmAdapter });
    const pairs = [await server.pair(), await server.pair()];
    const asked = pairs.map(({ client }) => once(client, "ask"));
    const answers = [];
    const { adapter } = server.io.of("/");
    let count;
    adapter.broadcastWithAck(
      { type: PacketType.EVENT, data: ["ask", 1] },
      { rooms: new Set(), except: new Set(), flags: {} },
      (n) => {
        count = n;
      },
      (...args) => answers.push(args),
    );
    expect(count).toBe(2);
    const [first, second] = await Promise.all(asked);
    second[1]("second", Buffer.from([2]), { a: [] });
    await eventually(() => answers.length === 1);
    expect(answers[0]).toEqual(["second", Buffer.from([2]), { a: [] }]);
    first[1]();
    await eventually(() => answers.length === 2);
    expect(answers[1]).toEqual([]);
  });

  test("the sockets of a namespace are fetched, joined and disconnected by it", async () => {
    const server = await startServer({ adapter: NpmAdapter });
    const pairs = [await server.pair(), await server.pair()];
    const fetched = await server.io.fetchSockets();
    expect(new Set(fetched)).toEqual(new Set(pairs.map(({ socket }) => socket)));
    expect(await server.io.allSockets()).toEqual(new Set(pairs.map(({ socket }) => socket.id)));
    pairs[0].socket.join("out");
    const gone = once(pairs[0].client, "disconnect");
    server.io.in("out").disconnectSockets();
    expect(await gone).toEqual(["io server disconnect", undefined]);
    expect(pairs[1].client.connected).toBe(true);
  });

  test("an adapter that is not derived from npm's works with sockets one by one", async () => {
    const server = await startServer({ adapter: OwnAdapter });
    const pairs = [await server.pair("/", WEBSOCKET), await server.pair("/", POLLING)];
    const outgoing = [];
    pairs[0].socket.onAnyOutgoing((...args) => outgoing.push(args));
    const heard = pairs.map(({ client }) => record(client));
    pairs[0].socket.join("a");
    expect(pairs[0].socket.rooms).toEqual(new Set([pairs[0].socket.id, "a"]));
    server.io.to("a").emit("one", { bytes: Buffer.from([1]) }, [Buffer.from([2])]);
    server.io.except("a").emit("two", "x", null);
    await barrier(...pairs.map(({ client }) => client));
    expect(heard[0]).toEqual([["one", { bytes: Buffer.from([1]) }, [Buffer.from([2])]]]);
    expect(heard[1]).toEqual([["two", "x", null]]);
    expect(outgoing).toEqual([["one", { bytes: Buffer.from([1]) }, [Buffer.from([2])]]]);
    pairs.forEach(({ client }, i) => client.on("ask", (answer) => answer({ i, bytes: Buffer.from([i]) })));
    const answers = await server.io.timeout(5000).emitWithAck("ask");
    expect(answers.sort((a, b) => a.i - b.i)).toEqual([
      { i: 0, bytes: Buffer.from([0]) },
      { i: 1, bytes: Buffer.from([1]) },
    ]);
    // The core's own acks go on beside them.
    expect((await pairs[0].socket.emitWithAck("ask")).i).toBe(0);
  });

  test("serverSideEmit goes by it, and comes by _onServerSideEmit", async () => {
    const sent = [];
    class Sending extends NpmAdapter {
      serverSideEmit(packet) {
        sent.push(packet);
      }
    }
    const { io } = await startServer({ adapter: Sending });
    io.serverSideEmit("hello", 1);
    expect(sent).toEqual([["hello", 1]]);
    expect(() => io.serverSideEmit("connection")).toThrow('"connection" is a reserved event name');
    const heard = [];
    io.on("ping", (...args) => heard.push(args));
    io.of("/")._onServerSideEmit(["ping", 1, 2]);
    expect(heard).toEqual([[1, 2]]);
    const answers = io.serverSideEmitWithAck("ask");
    sent[1].at(-1)(null, ["a"]);
    expect(await answers).toEqual(["a"]);
  });

  test("dynamic namespaces get adapters, which are closed when those go", async () => {
    const { Noting, calls } = noting();
    const server = await startServer({ adapter: Noting, cleanupEmptyChildNamespaces: true });
    const parent = server.io.of(/^\/room-\d+$/);
    const heard = [];
    for (let i = 0; i < 20; i += 1) {
      const client = await server.connect(`/room-${i}`);
      client.onAny((...args) => heard.push(args));
      if (i === 0) {
        parent.emit("to all", i);
        await eventually(() => heard.length === 1);
      }
      client.disconnect();
      await eventually(() => !server.io._nsps.has(`/room-${i}`));
    }
    expect(heard).toEqual([["to all", 0]]);
    const closed = calls.filter(([name]) => name === "close");
    expect(closed).toEqual(Array.from({ length: 20 }, (_, i) => ["close", `/room-${i}`]));
  });

  test("io.close() waits for it, whatever comes of that", async () => {
    const closing = deferred();
    class Slow extends NpmAdapter {
      close() {
        if (this.nsp.name === "/broken") throw new Error("broken");
        return this.nsp.name === "/" ? closing.promise : Promise.reject(new Error("away"));
      }
    }
    const server = await startServer({ adapter: Slow });
    server.io.of("/rejected");
    server.io.of("/broken");
    const { socket } = await server.pair();
    const reasons = [];
    socket.on("disconnect", (reason) => reasons.push(reason));
    let isClosed = false;
    const closed = server.io.close().then(() => {
      isClosed = true;
    });
    expect(reasons).toEqual(["server shutting down"]);
    await new Promise(setImmediate);
    expect(isClosed).toBe(false);
    closing.resolve();
    await within(closed, "the server to close");
  });

  test("an init() or addAll() that fails later breaks nothing", async () => {
    const rejections = [];
    class Failing extends NpmAdapter {
      init() {
        return Promise.reject(new Error("no init"));
      }
      addAll(id, rooms) {
        super.addAll(id, rooms);
        return Promise.reject(new Error("no addAll")).catch((error) => rejections.push(error.message));
      }
    }
    const server = await startServer({ adapter: Failing });
    const { client, socket } = await server.pair();
    await socket.join("a");
    const heard = once(client, "x");
    server.io.to("a").emit("x", 1);
    expect(await heard).toEqual([1]);
    expect(rejections).toEqual(["no addAll", "no addAll"]);
  });

  test("a slow addAll() keeps the order of events", async () => {
    const joining = deferred();
    class Slow extends NpmAdapter {
      addAll(id, rooms) {
        super.addAll(id, rooms);
        return joining.promise;
      }
    }
    const server = await startServer({ adapter: Slow });
    server.io.on("connection", (socket) => {
      socket.emit("a");
      server.io.emit("b");
      socket.on("c", () => socket.emit("d"));
    });
    const client = server.client();
    const heard = record(client);
    await connected(client);
    client.emit("c");
    await eventually(() => heard.length === 3);
    expect(heard.map(([name]) => name)).toEqual(["a", "b", "d"]);
    joining.resolve();
  });

  test("a server of the other package in the same process keeps its own rooms", async () => {
    const server = await startServer({ adapter: NpmAdapter });
    const official = new OfficialServer(0, { adapter: NpmAdapter });
    afterThisTest(() => official.close());
    const { client: mine, socket: mySocket } = await server.pair();
    const port = await portOf(official);
    const connection = once(official, "connection");
    const theirs = open(`http://127.0.0.1:${port}`, "/", {});
    await connected(theirs);
    const [theirSocket] = await connection;
    const [heardByMine, heardByTheirs] = [record(mine), record(theirs)];
    mySocket.join("room");
    theirSocket.join("room");
    expect(official.of("/").adapter.rooms.get("room")).toEqual(new Set([theirSocket.id]));
    expect(server.io.of("/").adapter.rooms.get("room")).toEqual(new Set([mySocket.id]));
    official.to("room").emit("theirs");
    server.io.to("room").emit("mine");
    await eventually(() => heardByMine.length === 1 && heardByTheirs.length === 1);
    expect([heardByMine, heardByTheirs]).toEqual([[["mine"]], [["theirs"]]]);
    expect(await official.fetchSockets()).toHaveLength(1);
  });

  test("a second adapter in the place of the first leaves local sockets as they are", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    server.io.adapter(NpmAdapter);
    const { client: second } = await server.pair();
    const heard = [record(client), record(second)];
    server.io.to(second.id).emit("a");
    socket.emit("b");
    await barrier(client, second);
    expect(heard).toEqual([[["b"]], [["a"]]]);
  });
});

ferrioOnly("the official server takes any value, and fails later", () => {
  test("what is no adapter is refused by name", () => {
    for (const adapter of [5, {}, "redis", true]) {
      expect(() => new underTest.Server({ adapter })).toThrow(
        "option `adapter` must be a class or a function",
      );
    }
    expect(() => new underTest.Server({ adapter: () => undefined })).toThrow("option `adapter` must be");
    expect(() => new underTest.Server().adapter(undefined)).toThrow("option `adapter` must be");
  });

  test("an arrow function that returns an adapter is taken", async () => {
    const server = await startServer({ adapter: (nsp) => new NpmAdapter(nsp) });
    const { client } = await server.pair();
    const heard = once(client, "x");
    server.io.emit("x");
    await heard;
  });

  test("the package's own class can be derived from", async () => {
    const { Noting, calls } = noting(underTest.Adapter);
    const server = await startServer({ adapter: Noting });
    const { client, socket } = await server.pair();
    socket.join("a");
    const heard = once(client, "x");
    server.io.to("a").emit("x", 1);
    expect(await heard).toEqual([1]);
    client.on("ask", (answer) => answer(2));
    expect(await server.io.timeout(5000).emitWithAck("ask")).toEqual([2]);
    expect(calls.map(([name]) => name)).toEqual(["addAll", "addAll", "broadcast"]);
  });

  test("what an adapter throws or rejects is uncaught, and breaks no local state", async () => {
    const program = path.join(__dirname, "programs", "adapter-throws.js");
    const done = new Promise((resolve, reject) =>
      execFile(process.execPath, [program], (error, stdout) => (error ? reject(error) : resolve(stdout))),
    );
    expect((await within(done, "the program to end")).trim().split("\n")).toEqual([
      "operation has timed out 1",
      "rejected: addAll",
      "rejected: broadcast",
      "rejected: persistSession",
      "rejected: serverCount",
      "thrown: delAll",
    ]);
  });

  test("nothing is kept of broadcasts whose acks have come or timed out", async () => {
    const server = await startServer({ adapter: NpmAdapter });
    const pairs = [await server.pair(), await server.pair()];
    pairs[0].client.on("ask", (answer) => answer(1));
    for (let i = 0; i < 50; i += 1) {
      await server.io
        .timeout(5)
        .emitWithAck("ask")
        .catch(() => {});
    }
    // Without a time limit they are kept for the one who does not answer, until it leaves.
    const { adapter } = server.io.of("/");
    const opts = { rooms: new Set(), except: new Set(), flags: {} };
    adapter.broadcastWithAck(
      { type: PacketType.EVENT, data: ["ask"] },
      opts,
      () => {},
      () => {},
    );
    await eventually(() => server.io._held().acks === 1);
    pairs[1].client.disconnect();
    await eventually(() => server.io._held().acks === 0);
  });
});
