"use strict";

/** What applications and packages do beyond the documentation, and how it goes with socket.io. */

const { EventEmitter } = require("node:events");
const { once, record, startServer, underTest, within } = require("./support");

/** Calls `change` with the socket of every client before it hears an event. */
async function startWith(change) {
  const server = await startServer();
  server.io.use((socket, next) => {
    change(socket);
    next();
  });
  return server;
}

function ask(client, ...args) {
  return within(client.emitWithAck(...args), "the ack");
}

describe("habits", () => {
  test("a package sees every event by replacing onevent and calling what was there", async () => {
    const packets = [];
    const server = await startWith((socket) => {
      const { onevent } = socket;
      socket.onevent = function (packet) {
        packets.push([packet.nsp, packet.data.slice(), packet.id]);
        onevent.call(this, packet);
      };
    });
    const { client, socket } = await server.pair();
    const order = [];
    socket.onAny((event) => order.push(`any ${event}`));
    socket.use(([event], next) => {
      order.push(`middleware ${event}`);
      next();
    });
    socket.on("sum", (a, b, answer) => answer(a + b));
    client.emit("tell", Buffer.from("bytes"));
    expect(await ask(client, "sum", 2, 3)).toBe(5);
    expect(packets).toEqual([
      ["/", ["tell", Buffer.from("bytes")], undefined],
      ["/", ["sum", 2, 3], expect.any(Number)],
    ]);
    expect(order).toEqual(["any tell", "middleware tell", "any sum", "middleware sum"]);
  });

  test("a package takes over onevent and answers by ack", async () => {
    const heard = [];
    const server = await startWith((socket) => {
      socket.onevent = function (packet) {
        const args = packet.data ?? [];
        if (packet.id !== undefined && packet.id !== null) args.push(this.ack(packet.id));
        heard.push(args[0]);
        EventEmitter.prototype.emit.apply(this, args);
      };
    });
    const { client, socket } = await server.pair();
    socket.on("double", (n, answer) => answer(2 * n));
    expect(await ask(client, "double", 4)).toBe(8);
    expect(heard).toEqual(["double"]);
  });

  test("a middleware replaces the handshake", async () => {
    const server = await startWith((socket) => {
      socket.handshake = { ...socket.handshake, user: "ada" };
    });
    const { socket } = await server.pair("/", { auth: { token: 1 } });
    expect([socket.handshake.user, socket.handshake.auth]).toEqual(["ada", { token: 1 }]);
  });

  test("a connection whose request was deleted has a handshake without it", async () => {
    const server = await startServer();
    server.io.engine.on("connection", (connection) => {
      delete connection.request;
    });
    const { socket } = await server.pair("/", { auth: { token: 1 } });
    const { headers, query, secure, xdomain, auth } = socket.handshake;
    expect({ headers, query, secure, xdomain, auth }).toEqual({
      headers: {},
      query: {},
      secure: true,
      xdomain: false,
      auth: { token: 1 },
    });
  });

  test("a function that throws while it decides on a namespace lets nobody in and harms nobody", async () => {
    const server = await startServer();
    server.io.of((_name, auth, next) => next(null, auth.token.length > 0));
    const { client } = await server.pair();
    const stranger = server.client("/dynamic");
    const events = record(stranger);
    const end = Promise.race([once(stranger, "connect_error"), once(stranger.io.engine, "close")]);
    await end;
    expect([stranger.connected, events]).toEqual([false, []]);
    expect(await ask(client, "barrier")).toBeUndefined();
    const known = server.client("/dynamic", { auth: { token: "yes" } });
    await once(known, "connect");
  });

  test("an empty port is no port", () => {
    expect(new underTest.Server("").httpServer).toBeUndefined();
  });
});
