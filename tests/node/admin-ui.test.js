"use strict";

/** The admin UI's side of a server: what its clients are shown, what they can do, and who may be one. */

const {
  POLLING,
  UPGRADE,
  connected,
  eventually,
  ferrioOnly,
  isOfficial,
  once,
  record,
  startServer,
  underTest,
  upgraded,
} = require("./support");

const { instrument, InMemoryStore } = isOfficial ? require("@socket.io/admin-ui") : underTest;

/** Of "changeit", with the lowest cost. */
const PASSWORD = "$2b$04$xFDA.aJoY8QG8T.R8BNCWebbXBNAHyV7IcvnWoBsjsGRVb5xzyZ/e";
const AUTH = { type: "basic", username: "admin", password: PASSWORD };
const CREDENTIALS = { username: "admin", password: "changeit" };

/** A server that admin clients can see, without a login unless the options say otherwise. */
async function startInstrumented(options = {}, serverOptions = {}) {
  const server = await startServer(serverOptions);
  instrument(server.io, { auth: false, mode: "development", serverId: "the server", ...options });
  return server;
}

/** An admin client, with everything that it hears. */
async function openAdmin(server, { name = "/admin", ...options } = {}) {
  const client = server.client(name, options);
  const heard = record(client);
  await connected(client);
  return { client, heard, ...forms(heard) };
}

function forms(heard) {
  const named = (name) => heard.filter(([event]) => event === name).map(([, ...args]) => args);
  /** The first event of this name that passes the test. */
  const hears = (name, test = () => true) => eventually(() => named(name).find((args) => test(...args)));
  /** What is known of the sockets, as the UI has it. */
  const sockets = () => {
    const known = new Map();
    for (const [event, ...args] of heard) {
      if (event === "all_sockets") {
        known.clear();
        for (const socket of args[0]) known.set(`${socket.nsp}#${socket.id}`, socket);
      } else if (event === "socket_connected") {
        known.set(`${args[0].nsp}#${args[0].id}`, args[0]);
      } else if (event === "socket_updated") {
        const socket = known.get(`${args[0].nsp}#${args[0].id}`);
        if (socket) Object.assign(socket, args[0]);
      } else if (event === "socket_disconnected") {
        known.delete(`${args[0]}#${args[1]}`);
      }
    }
    return known;
  };
  return { named, hears, sockets };
}

const isTime = (value) => typeof value === "string" && !Number.isNaN(Date.parse(value));

describe("the admin UI", () => {
  test("tells what it can do", async () => {
    const server = await startInstrumented();
    const admin = await openAdmin(server);
    const [{ supportedFeatures }] = await admin.hears("config");
    expect(new Set(supportedFeatures)).toEqual(
      new Set([
        "EMIT",
        "JOIN",
        "LEAVE",
        "DISCONNECT",
        "MJOIN",
        "MLEAVE",
        "MDISCONNECT",
        "AGGREGATED_EVENTS",
        "ALL_EVENTS",
      ]),
    );
  });

  test("can do nothing when it may only read", async () => {
    const server = await startInstrumented({ readonly: true, mode: "production" });
    const { client, socket } = await server.pair();
    const admin = await openAdmin(server);
    expect(await admin.hears("config")).toEqual([{ supportedFeatures: ["AGGREGATED_EVENTS"] }]);
    admin.client.emit("_disconnect", "/", true);
    admin.client.emit("join", "/", "taken");
    // The counters that follow show that the server has had the time.
    await admin.hears("server_stats");
    await client.timeout(5000).emitWithAck("barrier");
    expect([client.connected, socket.rooms.has("taken")]).toEqual([true, false]);
  });

  test("shows counters, and in production nothing else", async () => {
    const server = await startInstrumented({ mode: "production" });
    const admin = await openAdmin(server);
    await server.connect("/", POLLING);
    const isThere = ({ clientsCount, namespaces }) =>
      clientsCount === 2 && namespaces.some(({ name, socketsCount }) => name === "/" && socketsCount === 1);
    const [stats] = await admin.hears("server_stats", isThere);
    expect(stats).toMatchObject({ serverId: "the server", pid: process.pid, pollingClientsCount: 1 });
    expect([typeof stats.hostname, typeof stats.uptime]).toEqual(["string", "number"]);
    expect(stats.namespaces).toContainEqual({ name: "/admin", socketsCount: 1 });
    expect(new Set(admin.heard.map(([name]) => name))).toEqual(new Set(["config", "server_stats"]));
  });

  test("counts connections, packets and bytes, and disconnections by reason", async () => {
    const server = await startInstrumented({ mode: "production" });
    const admin = await openAdmin(server);
    await admin.hears("server_stats");
    const client = await server.connect();
    await client.emitWithAck("barrier", "some text");
    client.close();
    const counted = () => {
      const sums = {};
      for (const [{ aggregatedEvents }] of admin.named("server_stats")) {
        for (const { type, subType, count, timestamp } of aggregatedEvents) {
          expect(timestamp % 1000).toBe(0);
          const key = subType === undefined ? type : `${type}: ${subType}`;
          sums[key] = (sums[key] ?? 0) + count;
        }
      }
      return sums;
    };
    await eventually(() => counted()["rawDisconnection: transport close"] === 1);
    expect(counted()).toMatchObject({ rawConnection: expect.any(Number) });
    expect(counted().rawConnection).toBeGreaterThanOrEqual(1);
    expect(counted().packetsIn).toBeGreaterThanOrEqual(2);
    expect(counted().packetsOut).toBeGreaterThanOrEqual(2);
    expect(counted().bytesIn).toBeGreaterThan("some text".length);
    expect(counted().bytesOut).toBeGreaterThan(0);
  });

  test("shows the sockets that are there, with their rooms and data", async () => {
    const server = await startInstrumented();
    const { socket } = await server.pair("/", { query: { lang: "de" }, extraHeaders: { "x-own": "1" } });
    socket.join(["blue", "green"]);
    socket.data.user = { name: "Ann" };
    const admin = await openAdmin(server);
    const key = `/#${socket.id}`;
    const shown = await eventually(() => {
      const record = admin.sockets().get(key);
      return record?.data.user && record;
    });
    expect(shown).toMatchObject({
      id: socket.id,
      clientId: socket.client.id.substring(0, 12),
      transport: "websocket",
      nsp: "/",
      data: { user: { name: "Ann" } },
      handshake: {
        query: { lang: "de", EIO: "4" },
        headers: { "x-own": "1" },
        secure: false,
        xdomain: false,
      },
    });
    expect(shown.handshake.address).toMatch(/127\.0\.0\.1$/);
    expect(shown.handshake.issued).toBe(socket.handshake.issued);
    expect(shown.handshake.url).toBe(socket.handshake.url);
    expect(isTime(shown.handshake.time)).toBe(true);
    expect(new Set(shown.rooms)).toEqual(new Set([socket.id, "blue", "green"]));
    // The admin client is a socket like any other.
    await eventually(() => admin.sockets().has(`/admin#${admin.client.id}`));
  });

  test("shows who comes and goes, and the rooms that they join and leave", async () => {
    const server = await startInstrumented();
    server.watch("/other");
    const admin = await openAdmin(server);
    await admin.hears("all_sockets");
    const { client, socket } = await server.pair("/other");
    const [shown, at] = await admin.hears("socket_connected", ({ id }) => id === socket.id);
    expect([shown.nsp, isTime(at)]).toEqual(["/other", true]);
    socket.join("blue");
    const joined = await admin.hears("room_joined", (_nsp, room) => room === "blue");
    expect([joined.slice(0, 3), isTime(joined[3])]).toEqual([["/other", "blue", socket.id], true]);
    socket.leave("blue");
    const left = await admin.hears("room_left", (_nsp, room) => room === "blue");
    expect([left.slice(0, 3), isTime(left[3])]).toEqual([["/other", "blue", socket.id], true]);
    client.disconnect();
    const gone = await admin.hears("socket_disconnected", (_nsp, id) => id === socket.id);
    expect(["transport close", "client namespace disconnect"]).toContain(gone[2]);
    expect([gone[0], isTime(gone[3])]).toEqual(["/other", true]);
    await admin.hears("room_left", (_nsp, room) => room === socket.id);
    expect(admin.sockets().has(`/other#${socket.id}`)).toBe(false);
  });

  test("shows the events that come and go, and not its own", async () => {
    const server = await startInstrumented();
    const { client, socket } = await server.pair();
    const { socket: second } = await server.pair();
    second.join("both");
    socket.join("both");
    const admin = await openAdmin(server);
    await admin.hears("all_sockets");
    // The official server has listeners for sockets alone that came after instrument(), as these have.
    await client.emitWithAck("barrier", "a", { b: [1] });
    const received = await admin.hears("event_received");
    expect(received.slice(0, 3)).toEqual(["/", socket.id, ["barrier", "a", { b: [1] }]]);
    expect(isTime(received[3])).toBe(true);
    client.emit("bytes", Buffer.from([1, 2]));
    const [, , [, bytes]] = await admin.hears("event_received", (_nsp, _id, [event]) => event === "bytes");
    expect(Buffer.from(bytes)).toEqual(Buffer.from([1, 2]));
    socket.emit("alone", 1);
    expect((await admin.hears("event_sent")).slice(0, 3)).toEqual(["/", socket.id, ["alone", 1]]);
    server.io.to("both").emit("all", 2);
    for (const { id } of [socket, second]) {
      await admin.hears("event_sent", (_nsp, to, [event]) => to === id && event === "all");
    }
    const namespaces = [...admin.named("event_sent"), ...admin.named("event_received")].map(([nsp]) => nsp);
    expect(new Set(namespaces)).toEqual(new Set(["/"]));
  });

  test("shows that a transport has changed", async () => {
    const server = await startInstrumented();
    const admin = await openAdmin(server);
    await admin.hears("all_sockets");
    const client = await server.connect("/", UPGRADE);
    await upgraded(client);
    await eventually(() => admin.sockets().get(`/#${client.id}`)?.transport === "websocket");
  });

  test("emits, joins, leaves and disconnects, for one socket, a room, or everybody", async () => {
    const server = await startInstrumented();
    const [first, second, third] = await Promise.all([server.pair(), server.pair(), server.pair()]);
    const heard = [first, second, third].map(({ client }) => record(client));
    const admin = await openAdmin(server);
    admin.client.emit("join", "/", "one", first.socket.id);
    await eventually(() => first.socket.rooms.has("one"));
    expect(second.socket.rooms.has("one")).toBe(false);
    admin.client.emit("join", "/", "all");
    await eventually(() => third.socket.rooms.has("all"));
    admin.client.emit("leave", "/", "all", "one");
    await eventually(() => !first.socket.rooms.has("all"));
    expect(second.socket.rooms.has("all")).toBe(true);
    admin.client.emit("emit", "/", "one", "to the room", 1);
    await eventually(() => heard[0].length === 1);
    admin.client.emit("emit", "/", undefined, "to everybody", 2, { b: 3 });
    await eventually(() => heard.every((list) => list.at(-1)?.[0] === "to everybody"));
    expect(heard[0]).toEqual([
      ["to the room", 1],
      ["to everybody", 2, { b: 3 }],
    ]);
    expect(heard[1]).toEqual([["to everybody", 2, { b: 3 }]]);
    const gone = once(first.client, "disconnect");
    admin.client.emit("_disconnect", "/", false, "one");
    expect((await gone)[0]).toBe("io server disconnect");
    expect([second.client.connected, third.client.connected]).toEqual([true, true]);
    admin.client.emit("_disconnect", "/", true);
    await Promise.all([second, third].map(({ client }) => eventually(() => !client.connected)));
  });

  test("lets those in who log in, and for a while without doing so again", async () => {
    const server = await startInstrumented({ auth: AUTH });
    for (const auth of [{}, { ...CREDENTIALS, password: "changeIt" }, { ...CREDENTIALS, username: "root" }]) {
      const client = server.client("/admin", { auth });
      expect((await once(client, "connect_error"))[0].message).toBe("invalid credentials");
    }
    const admin = await openAdmin(server, { auth: CREDENTIALS });
    const [sessionId] = await admin.hears("session");
    const again = await openAdmin(server, { auth: { sessionId } });
    await again.hears("config");
    expect(again.named("session")).toEqual([]);
    const client = server.client("/admin", { auth: { sessionId: `${sessionId}0` } });
    expect((await once(client, "connect_error"))[0].message).toBe("invalid credentials");
  });

  test("keeps sessions where the application wants them", async () => {
    const sessions = new Set();
    const store = {
      doesSessionExist: (id) => Promise.resolve(sessions.has(id)),
      saveSession: (id) => sessions.add(id),
    };
    const server = await startInstrumented({ auth: AUTH, store });
    const admin = await openAdmin(server, { auth: CREDENTIALS });
    expect([...sessions]).toEqual(await admin.hears("session"));
    await openAdmin(server, { auth: { sessionId: [...sessions][0] } });
  });

  test("has a namespace of another name", async () => {
    const server = await startInstrumented({ namespaceName: "/custom" });
    const admin = await openAdmin(server, { name: "/custom" });
    await admin.hears("config");
  });

  test("must be told who may come in", async () => {
    const { io } = await startServer();
    const wrong = (options) => expect(() => instrument(io, options));
    wrong({}).toThrow("the `auth` option must be specified or explicitly set to `false`");
    wrong({ auth: { type: "other" } }).toThrow("invalid `auth` option, please check the documentation");
    wrong({ auth: { ...AUTH, password: 5 } }).toThrow("the `password` field must be a valid bcrypt hash");
  });
});

ferrioOnly("its own instrument() is bounded, and does nothing while nobody watches", () => {
  test("bad options are refused by name", async () => {
    const { io } = await startServer();
    const wrong = (options) => expect(() => instrument(io, { auth: false, ...options }));
    wrong({ mode: "test" }).toThrow("option `mode` must be `development` or `production`");
    wrong({ readonly: 1 }).toThrow("option `readonly`");
    wrong({ store: {} }).toThrow("option `store`");
    wrong({ statsInterval: 99 }).toThrow(
      "option `statsInterval` must be a number from 100 to 3600000, not 99",
    );
    wrong({ auth: { ...AUTH, password: "plain" } }).toThrow("must be a valid bcrypt hash");
    wrong({ namespaceName: 1 }).toThrow("option `namespaceName`");
    instrument(io, { auth: false });
    wrong({}).toThrow("instrumented already");
  });

  test("secrets in headers are shown only where that is wanted", async () => {
    const extraHeaders = { cookie: "a=secret", authorization: "Bearer secret", "x-own": "shown" };
    for (const [showSecrets, cookie] of [
      [false, "[redacted]"],
      [true, "a=secret"],
    ]) {
      const server = await startInstrumented({ showSecrets });
      const client = await server.connect("/", { extraHeaders });
      const admin = await openAdmin(server);
      const shown = await eventually(() => admin.sockets().get(`/#${client.id}`));
      expect(shown.handshake.headers).toMatchObject({ cookie, "x-own": "shown" });
      expect(JSON.stringify(admin.heard).includes("secret")).toBe(showSecrets);
    }
  });

  test("a flood of wrong passwords is refused, and holds up nobody who is in", async () => {
    const server = await startInstrumented({ auth: AUTH });
    const admin = await openAdmin(server, { auth: CREDENTIALS });
    const { client } = await server.pair();
    const guesses = Array.from({ length: 60 }, (_, i) => {
      const guess = server.client("/admin", { auth: { ...CREDENTIALS, password: `guess ${i}` } });
      return once(guess, "connect_error").then(([error]) => error.message);
    });
    await client.timeout(5000).emitWithAck("barrier");
    const answers = await Promise.all(guesses);
    expect(answers.filter((message) => message === "invalid credentials").length).toBeLessThan(30);
    expect(new Set(answers)).toEqual(new Set(["invalid credentials", "too many attempts, try again later"]));
    const right = server.client("/admin", { auth: CREDENTIALS });
    expect((await once(right, "connect_error"))[0].message).toMatch(/too many/);
    const [sessionId] = await admin.hears("session");
    await openAdmin(server, { auth: { sessionId } });
  });

  test("credentials that are no texts, and a store that fails, let nobody in", async () => {
    const store = { doesSessionExist: () => Promise.reject(new Error("down")), saveSession() {} };
    const warned = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    const server = await startInstrumented({ auth: AUTH, store });
    const refused = async (auth) =>
      (await once(server.client("/admin", { auth }), "connect_error"))[0].message;
    for (const auth of [{ username: ["admin"], password: {} }, { sessionId: {} }, { username: "admin" }]) {
      expect(await refused(auth)).toBe("invalid credentials");
    }
    expect(await refused({ sessionId: "any" })).toBe("the server cannot tell who you are");
    expect(warned.mock.calls).toEqual([
      [expect.stringMatching(/store .* failed: Error: down/), "FerrioWarning"],
    ]);
    warned.mockRestore();
  });

  test("commands that make no sense are ignored", async () => {
    const server = await startInstrumented();
    const { client } = await server.pair();
    const admin = await openAdmin(server);
    const many = Array.from({ length: 20000 }, (_, i) => `room ${i}`);
    for (const command of ["emit", "join", "leave", "_disconnect"]) {
      for (const args of [
        [],
        [null],
        ["/unknown", "a", "b"],
        [{}, [], {}],
        ["/", many, many],
        ["/", { a: 1 }, { b: 2 }],
        ["/", true, [1, 2]],
        ["/", false, []],
        ["/", "connect", "room"],
      ]) {
        admin.client.emit(command, ...args);
      }
    }
    admin.client.emit("emit", "/", undefined, "connect", 1);
    admin.client.emit("emit", "/", undefined, "disconnect", 1);
    admin.client.emit("unknown", "/");
    admin.client.emit("emit", "/", undefined, "sane", 1);
    expect(await once(client, "sane")).toEqual([1]);
    expect([client.connected, [...server.io._nsps.keys()].sort()]).toEqual([true, ["/", "/admin"]]);
  });

  test("a socket's data is not wrapped, and what JSON cannot say does no harm", async () => {
    const server = await startInstrumented({ statsInterval: 100 });
    const { socket } = await server.pair();
    const cyclic = {};
    cyclic.self = cyclic;
    socket.data.map = new Map([["a", 1]]);
    const admin = await openAdmin(server);
    const data = () => admin.sockets().get(`/#${socket.id}`)?.data;
    await eventually(() => data()?.map);
    expect(socket.data.map.get("a")).toBe(1);
    socket.data.cyclic = cyclic;
    await eventually(() => data()?.map === undefined);
    delete socket.data.cyclic;
    socket.data.long = "x".repeat(1 << 20);
    await eventually(() => data()?.length > 1 << 20);
    socket.data = { n: 5 };
    await eventually(() => data()?.n === 5);
  });

  test("long events are shown by their names", async () => {
    const server = await startInstrumented();
    const { client } = await server.pair();
    const admin = await openAdmin(server);
    await admin.hears("all_sockets");
    client.emit("long", "x".repeat(100_000));
    const [, , args] = await admin.hears("event_received");
    expect(args).toEqual(["long", expect.stringMatching(/^\(1000\d\d bytes\)$/)]);
  });

  test("an admin client that comes later is shown the same, and the rest goes on without it", async () => {
    const server = await startInstrumented();
    const { client, socket } = await server.pair();
    socket.data.user = "Ann";
    const first = await openAdmin(server);
    await eventually(() => first.sockets().get(`/#${socket.id}`)?.data.user);
    const second = await openAdmin(server);
    await eventually(() => second.sockets().get(`/#${socket.id}`)?.data.user);
    first.client.close();
    client.emit("hello");
    await second.hears("event_received");
    second.client.close();
    const third = await openAdmin(server);
    await eventually(() => third.sockets().get(`/#${socket.id}`)?.data.user);
  });

  test("sockets that come and go while a crowd is listed are known in the end", async () => {
    const server = await startInstrumented({}, { limits: { maxNamespacesPerConnection: 1000 } });
    const { client } = await server.pair("/", { extraHeaders: { "x-long": "x".repeat(2000) } });
    const names = Array.from({ length: 700 }, (_, i) => `/many/${i}`);
    for (const name of names) server.io.of(name);
    const crowd = names.map((name) => client.io.socket(name));
    await eventually(() => crowd.every((socket) => socket.connected));
    const admin = await openAdmin(server);
    for (const socket of crowd.slice(0, 350)) socket.disconnect();
    const late = await server.connect();
    await eventually(() => admin.sockets().has(`/#${late.id}`));
    const isRight = () => {
      const known = admin.sockets();
      const here = crowd.slice(350).filter((socket) => known.has(`${socket.nsp}#${socket.id}`));
      return here.length === 350 && known.size === 350 + 3;
    };
    await eventually(isRight);
    expect(admin.named("all_sockets")).toHaveLength(1);
  });

  test("the memory of sessions is bounded", async () => {
    const store = new InMemoryStore();
    for (let i = 0; i < 1500; i += 1) store.saveSession(`${i}`);
    expect(await store.doesSessionExist("0")).toBe(false);
    expect(await store.doesSessionExist("1499")).toBe(true);
  });

  test("it can be called before the server listens, and goes on when it listens again", async () => {
    const io = new underTest.Server();
    instrument(io, { auth: false, mode: "development" });
    const { TestServer, portOf, afterThisTest } = require("./support");
    io.listen(0);
    const server = new TestServer(io, io.httpServer, await portOf(io));
    afterThisTest(() => server.close());
    await (await openAdmin(server)).hears("all_sockets");
    await server.close();
    await server.listenAgain();
    await (await openAdmin(server)).hears("all_sockets");
  });
});
