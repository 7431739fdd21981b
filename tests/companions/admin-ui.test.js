"use strict";

/** The package's own `instrument`, and what its page hears and orders by the namespace `/admin`. */

const { instrument } = require("@socket.io/admin-ui");
const bcrypt = require("bcryptjs");
const { POLLING, UPGRADE, connected, open, record, upgraded } = require("../node/support/client");
const { eventually, once } = require("../node/support/wait");
const { startNode } = require("./support/nodes");

let node;
afterEach(() => node.close());

/** A server with the admin's namespace, without any adapter but its own. */
async function start(options) {
  node = await startNode(async () => ({ adapter: undefined, release: () => {} }));
  instrument(node.io, { auth: false, mode: "development", serverId: "one", ...options });
  return node;
}

/** An admin, with what it hears. */
async function openAdmin(options = {}) {
  const admin = open(node.url, "/admin", options);
  const heard = record(admin);
  await connected(admin);
  const told = (event) => heard.filter(([name]) => name === event).map(([, ...args]) => args);
  await eventually(() => told("config").length === 1);
  return { admin, told };
}

test("an admin is told what it can do, and who is there", async () => {
  await start();
  const client = await node.connect();
  await node.run((io) => void io.in("nowhere").socketsJoin("nothing"));
  const { told } = await openAdmin();

  expect(told("config")).toEqual([
    [
      {
        supportedFeatures: [
          "EMIT",
          "JOIN",
          "LEAVE",
          "DISCONNECT",
          "MJOIN",
          "MLEAVE",
          "MDISCONNECT",
          "AGGREGATED_EVENTS",
          "ALL_EVENTS",
        ],
      },
    ],
  ]);
  await eventually(() => told("all_sockets").length === 1);
  const [[sockets]] = told("all_sockets");
  const about = sockets.find(({ id }) => id === client.id);
  expect(about).toMatchObject({
    nsp: "/",
    rooms: [client.id],
    transport: "websocket",
    clientId: client.io.engine.id.slice(0, 12),
    data: {},
    handshake: {
      address: expect.stringContaining("127.0.0.1"),
      query: { EIO: "4", transport: "websocket" },
      secure: false,
      xdomain: false,
      issued: expect.any(Number),
      time: expect.any(String),
      url: expect.stringContaining("/socket.io/"),
    },
  });
});

test("an admin hears of clients that come, join, talk and go", async () => {
  await start();
  node.io.on("connection", (socket) => {
    socket.join("lobby");
    socket.on("hello", (_name, answer) => {
      socket.data.name = "Ada";
      socket.emit("welcome", 1);
      answer();
      socket.leave("lobby");
    });
  });
  const { told } = await openAdmin();
  const client = await node.connect("/", UPGRADE);
  const { id } = client;
  await upgraded(client);
  await client.emitWithAck("hello", "Ada");
  client.disconnect();
  await eventually(() => told("socket_disconnected").length === 1);

  expect(told("socket_connected").map(([socket]) => [socket.id, socket.nsp])).toContainEqual([id, "/"]);
  const joined = told("room_joined").map(([nsp, room, socket]) => [nsp, room, socket]);
  expect(joined).toContainEqual(["/", id, id]);
  expect(joined).toContainEqual(["/", "lobby", id]);
  expect(told("room_left").map(([nsp, room, socket]) => [nsp, room, socket])).toContainEqual([
    "/",
    "lobby",
    id,
  ]);
  expect(told("event_received").map(([nsp, socket, args]) => [nsp, socket, args])).toEqual([
    ["/", id, ["hello", "Ada"]],
  ]);
  expect(told("event_sent").map(([nsp, socket, args]) => [nsp, socket, args])).toEqual([
    ["/", id, ["welcome", 1]],
  ]);
  const updates = told("socket_updated").map(([update]) => update);
  expect(updates).toContainEqual({ id, nsp: "/", transport: "websocket" });
  expect(updates).toContainEqual({ id, nsp: "/", data: { name: "Ada" } });
  expect(told("socket_disconnected")[0].slice(0, 3)).toEqual(["/", id, "client namespace disconnect"]);
});

test("an admin's orders are carried out", async () => {
  await start();
  const { admin } = await openAdmin();
  const [first, second] = [await node.connect(), await node.connect()];
  const roomsOf = (client) => [...(node.io.of("/").sockets.get(client.id)?.rooms ?? [])];

  admin.emit("join", "/", "a");
  await eventually(() => roomsOf(first).includes("a") && roomsOf(second).includes("a"));
  admin.emit("join", "/", "b", first.id);
  await eventually(() => roomsOf(first).includes("b"));
  expect(roomsOf(second)).not.toContain("b");

  const told = once(first, "notice");
  admin.emit("emit", "/", "b", "notice", 1, { two: 3 });
  expect(await told).toEqual([1, { two: 3 }]);

  admin.emit("leave", "/", "a", first.id);
  await eventually(() => !roomsOf(first).includes("a"));
  expect(roomsOf(second)).toContain("a");

  const gone = once(first, "disconnect");
  admin.emit("_disconnect", "/", false, first.id);
  expect((await gone)[0]).toBe("io server disconnect");
  expect(second.connected).toBe(true);
  const alsoGone = once(second, "disconnect");
  admin.emit("_disconnect", "/", true);
  await alsoGone;
});

test("the statistics count clients, transports, packets and bytes", async () => {
  await start();
  node.io.on("connection", (socket) => socket.on("hello", (_text, answer) => answer("hello yourself")));
  const { told } = await openAdmin();
  await node.connect("/", POLLING);
  const upgrading = await node.connect("/", UPGRADE);
  await upgraded(upgrading);
  const leaving = await node.connect();
  await leaving.emitWithAck("hello", "some text");
  leaving.disconnect();

  const counts = {};
  let n = 0;
  await eventually(() => {
    const all = told("server_stats");
    for (const [{ aggregatedEvents }] of all.slice(n)) {
      for (const { type, subType, count } of aggregatedEvents) {
        const name = subType ? `${type} (${subType})` : type;
        counts[name] = (counts[name] ?? 0) + count;
      }
    }
    n = all.length;
    return counts["rawDisconnection (transport close)"] === 1;
  });

  const [last] = told("server_stats").at(-1);
  expect(last).toMatchObject({
    serverId: "one",
    pid: process.pid,
    hostname: expect.any(String),
    uptime: expect.any(Number),
    clientsCount: 3,
    pollingClientsCount: 1,
  });
  expect(last.namespaces).toEqual(
    expect.arrayContaining([
      { name: "/", socketsCount: 2 },
      { name: "/admin", socketsCount: 1 },
    ]),
  );
  expect(counts.rawConnection).toBe(4);
  expect(counts.packetsIn).toBeGreaterThanOrEqual(5);
  expect(counts.packetsOut).toBeGreaterThanOrEqual(5);
  expect(counts.bytesIn).toBeGreaterThanOrEqual('2["hello","some text"]'.length);
  expect(counts.bytesOut).toBeGreaterThanOrEqual('3["hello yourself"]'.length);
});

test("an admin that may only look is told so, and its orders are ignored", async () => {
  await start({ readonly: true, mode: "production" });
  const { admin, told } = await openAdmin();
  expect(told("config")).toEqual([[{ supportedFeatures: ["AGGREGATED_EVENTS"] }]]);
  const client = await node.connect();

  admin.emit("_disconnect", "/", true);
  node.io.of("/admin").on("connection", (socket) => socket.on("barrier", (answer) => answer()));
  const { admin: another } = await openAdmin();
  await another.emitWithAck("barrier");

  expect(client.connected).toBe(true);
  expect(told("all_sockets")).toEqual([]);
});

test("admins need the password, or the session that it has opened", async () => {
  const password = bcrypt.hashSync("secret", 4);
  await start({ auth: { type: "basic", username: "admin", password } });

  await expect(openAdmin({ auth: { username: "admin", password: "wrong" } })).rejects.toThrow(
    "invalid credentials",
  );
  const admin = open(node.url, "/admin", { auth: { username: "admin", password: "secret" } });
  const session = once(admin, "session");
  await connected(admin);
  const [sessionId] = await session;
  await openAdmin({ auth: { sessionId } });
});
