"use strict";

/** What a cluster of three nodes does, whatever adapter joins them. */

const { POLLING, record } = require("../../node/support/client");
const { eventually, once, within } = require("../../node/support/wait");
const { acquainted, deserted, reaching } = require("./nodes");

const BYTES = Buffer.from([0, 1, 254, 255]);

/** What a client has heard but for probes and barriers. */
const told = (heard) => heard.filter(([event]) => event !== "probe" && event !== "barrier");

/**
 * Declares the scenarios for the three nodes that `start` returns. An adapter that publishes over several connections
 * does not keep the order of events.
 */
function describeCluster(title, start, { keepsOrder = true } = {}) {
  describe(title, () => {
    let nodes = [];
    let clients;
    let heard;

    beforeAll(async () => {
      nodes = await start();
    }, 60_000);

    afterAll(async () => {
      for (const node of nodes) await node.close();
    });

    beforeEach(async () => {
      await deserted(nodes);
      if (clients === undefined) await acquainted(nodes);
      clients = await Promise.all(nodes.map((node) => node.connect()));
      heard = clients.map(record);
    });

    /** Has the client of each of these nodes join a room, and waits until every node reaches it there. */
    async function join(room, ...members) {
      for (const n of members) {
        await nodes[n].run((io, id, name) => io.of("/").sockets.get(id).join(name), clients[n].id, room);
      }
      const listeners = members.map((n) => clients[n]);
      await reaching(nodes, listeners, (io, name, probe) => io.to(name).emit("probe", probe), room);
    }

    /** Returns when everything that a node has sent so far is there. */
    async function settled(sender = 0) {
      const arrived = clients.filter((client) => client.connected).map((client) => once(client, "barrier"));
      await nodes[sender].run((io) => void io.emit("barrier"));
      await Promise.all(arrived);
    }

    describe("events", () => {
      test("to everybody reach the clients of every node, with their bytes", async () => {
        await nodes[0].run((io, bytes) => void io.emit("hello", 1, "2", { 3: ["4"] }, { bytes }), BYTES);
        await eventually(() => heard.every((list) => told(list).length === 1));
        await settled();

        const hello = ["hello", 1, "2", { 3: ["4"] }, { bytes: BYTES }];
        expect(heard.map(told)).toEqual([[hello], [hello], [hello]]);
      });

      test("to rooms reach their members, once each, but for those of rooms left out", async () => {
        await join("a", 0, 1);
        await join("b", 1, 2);

        await nodes[0].run((io) => {
          io.to("a").emit("to a");
          io.to(["a", "b"]).emit("to both");
          io.to("a").except("b").emit("to a but b");
          io.except("a").emit("to all but a");
        });
        await eventually(() => heard.flatMap(told).length === 7);
        await settled();

        const events = heard.map((list) =>
          told(list)
            .map(([event]) => event)
            .sort(),
        );
        expect(events).toEqual([
          ["to a", "to a but b", "to both"],
          ["to a", "to both"],
          ["to all but a", "to both"],
        ]);
      });

      test("reach clients by long-polling", async () => {
        const polling = await nodes[1].connect("/", POLLING);
        const arrived = once(polling, "hello");
        await nodes[0].run((io, id, bytes) => void io.to(id).emit("hello", { bytes }), polling.id, BYTES);
        expect(await arrived).toEqual([{ bytes: BYTES }]);
      });

      test("to the id of a socket reach it on another node", async () => {
        await nodes[0].run((io, id) => void io.to(id).emit("to you"), clients[2].id);
        await eventually(() => told(heard[2]).length === 1);
        await settled();

        expect(heard.map(told)).toEqual([[], [], [["to you"]]]);
      });

      test("of a socket to all others leave it out", async () => {
        await nodes[1].run((io, id) => {
          io.of("/").sockets.get(id).broadcast.emit("to the others");
        }, clients[1].id);
        await eventually(() => heard.flatMap(told).length === 2);
        await settled(1);

        expect(heard.map(told)).toEqual([[["to the others"]], [], [["to the others"]]]);
      });

      test("that are local stay on their node", async () => {
        await nodes[1].run((io) => void io.local.emit("to the neighbours"));
        await settled(1);

        expect(heard.map(told)).toEqual([[], [["to the neighbours"]], []]);
      });

      test("that are volatile reach clients that are ready", async () => {
        const arrived = clients.map((client) => once(client, "position"));
        await nodes[0].run((io) => void io.volatile.emit("position", 1, 2));

        expect(await Promise.all(arrived)).toEqual([
          [1, 2],
          [1, 2],
          [1, 2],
        ]);
      });

      test(`of one node arrive, all of them${keepsOrder ? ", in their order" : ""}`, async () => {
        await nodes[0].run((io) => {
          for (let n = 0; n < 300; n += 1) io.emit("n", n);
        });
        await eventually(() => heard.every((list) => told(list).length === 300));

        const numbers = Array.from({ length: 300 }, (_, n) => n);
        const arrived = heard.map((list) => told(list).map(([, n]) => n));
        if (!keepsOrder) for (const list of arrived) list.sort((a, b) => a - b);
        expect(arrived).toEqual([numbers, numbers, numbers]);
      });

      test("of a namespace stay in it", async () => {
        for (const node of nodes) await node.run((io) => void io.of("/other"));
        const others = await Promise.all(nodes.map((node) => node.connect("/other")));
        const heardThere = others.map(record);
        await reaching(nodes, others, (io, probe) => io.of("/other").emit("probe", probe));

        await nodes[0].run((io) => void io.of("/other").emit("there"));
        await eventually(() => heardThere.every((list) => told(list).length === 1));
        await settled();

        expect(heardThere.map(told)).toEqual([[["there"]], [["there"]], [["there"]]]);
        expect(heard.map(told)).toEqual([[], [], []]);
      });
    });

    describe("a dynamic namespace", () => {
      test("is one over all nodes, and goes with its last client", async () => {
        for (const node of nodes) await node.run((io) => void io.of(/^\/dynamic-\d+$/));
        const name = "/dynamic-1";
        const there = await Promise.all(nodes.map((node) => node.connect(name)));
        await reaching(nodes, there, (io, namespace, probe) => io.of(namespace).emit("probe", probe), name);
        const arrived = there.map((client) => once(client, "there"));
        await nodes[1].run((io, namespace) => void io.of(namespace).emit("there", 1), name);
        expect(await Promise.all(arrived)).toEqual([[1], [1], [1]]);

        for (const client of there) client.disconnect();
        for (const node of nodes) {
          await eventually(() => node.run((io, namespace) => !io._nsps.has(namespace), name));
        }
      });
    });

    describe("acks of a broadcast", () => {
      test("are collected from the clients of every node", async () => {
        for (const [n, client] of clients.entries()) client.on("question", (answer) => answer(n));

        const answers = await nodes[0].run((io) => io.timeout(10_000).emitWithAck("question"));

        expect(answers.sort()).toEqual([0, 1, 2]);
      });

      test("carry bytes", async () => {
        for (const client of clients) client.on("question", (bytes, answer) => answer({ bytes }));

        const answers = await nodes[0].run(
          (io, bytes) => io.timeout(10_000).emitWithAck("question", bytes),
          BYTES,
        );

        expect(answers.map(({ bytes }) => Buffer.from(bytes))).toEqual([BYTES, BYTES, BYTES]);
      });

      test("that are missing make an error with those that came", async () => {
        clients[0].on("question", (answer) => answer("zero"));
        clients[1].on("question", () => {});
        clients[2].on("question", (answer) => answer("two"));

        const outcome = await nodes[0].run((io) =>
          io
            .timeout(1500)
            .emitWithAck("question")
            .then(
              () => "all answered",
              (error) => ({ message: error.message, responses: error.responses.sort() }),
            ),
        );

        expect(outcome).toEqual({ message: "operation has timed out", responses: ["two", "zero"] });
      });

      test("are none when nobody is asked", async () => {
        const answers = await nodes[0].run((io) => io.to("nobody").timeout(1500).emitWithAck("question"));

        expect(answers).toEqual([]);
      });
    });

    describe("sockets of all nodes", () => {
      test("are fetched with their data, rooms and handshakes", async () => {
        await join("room", 2);
        await nodes[2].run((io, id) => {
          io.of("/").sockets.get(id).data.user = { name: "Ada", level: 7 };
        }, clients[2].id);

        const fetched = await nodes[0].run(async (io) =>
          (await io.fetchSockets()).map((socket) => ({
            id: socket.id,
            data: socket.data,
            rooms: [...socket.rooms].sort(),
            transport: socket.handshake.query.transport,
            issued: typeof socket.handshake.issued,
          })),
        );

        const about = (n, data, rooms) => ({
          id: clients[n].id,
          data,
          rooms: [clients[n].id, ...rooms].sort(),
          transport: "websocket",
          issued: "number",
        });
        const byId = (a, b) => (a.id < b.id ? -1 : 1);
        expect(fetched.sort(byId)).toEqual(
          [about(0, {}, []), about(1, {}, []), about(2, { user: { name: "Ada", level: 7 } }, ["room"])].sort(
            byId,
          ),
        );
      });

      test("are fetched by rooms, and those of one node alone", async () => {
        await join("a", 1, 2);
        await join("b", 2);

        const idsOf = async (fetch) => (await nodes[0].run(fetch)).sort();

        expect(
          await idsOf(async (io) => (await io.in("a").fetchSockets()).map((socket) => socket.id)),
        ).toEqual([clients[1].id, clients[2].id].sort());
        expect(
          await idsOf(async (io) => (await io.in("a").except("b").fetchSockets()).map((socket) => socket.id)),
        ).toEqual([clients[1].id]);
        expect(await idsOf(async (io) => (await io.local.fetchSockets()).map((socket) => socket.id))).toEqual(
          [clients[0].id],
        );
      });

      test("are reached one by one from another node", async () => {
        clients[1].on("question", (answer) => answer("from afar"));

        const answers = await nodes[0].run(async (io, id) => {
          const [socket] = await io.in(id).fetchSockets();
          socket.emit("hello");
          socket.join("joined");
          return socket.timeout(10_000).emitWithAck("question");
        }, clients[1].id);

        expect(answers).toEqual("from afar");
        await eventually(() => told(heard[1]).some(([event]) => event === "hello"));
        await eventually(() =>
          nodes[1].run((io, id) => io.of("/").sockets.get(id).rooms.has("joined"), clients[1].id),
        );
        const gone = once(clients[1], "disconnect");
        await nodes[0].run(async (io, id) => {
          const [socket] = await io.in(id).fetchSockets();
          socket.disconnect();
        }, clients[1].id);
        expect((await gone)[0]).toBe("io server disconnect");
      });

      test("join and leave rooms by order of another node", async () => {
        await join("a", 1, 2);

        await nodes[0].run((io) => void io.in("a").socketsJoin(["b", "c"]));
        const roomsOf = (n) =>
          nodes[n].run((io, id) => [...io.of("/").sockets.get(id).rooms].sort(), clients[n].id);
        const rooms = (n, ...names) => [clients[n].id, ...names].sort();
        await eventually(async () => (await roomsOf(1)).length === 4 && (await roomsOf(2)).length === 4);
        expect(await roomsOf(0)).toEqual(rooms(0));
        expect(await roomsOf(1)).toEqual(rooms(1, "a", "b", "c"));

        await nodes[0].run((io) => void io.in("b").socketsLeave("a"));
        await eventually(async () => (await roomsOf(1)).length === 3 && (await roomsOf(2)).length === 3);
        expect(await roomsOf(2)).toEqual(rooms(2, "b", "c"));
      });

      test("are disconnected by order of another node", async () => {
        await join("a", 1, 2);
        const gone = [1, 2].map((n) => once(clients[n], "disconnect"));

        await nodes[0].run((io) => void io.in("a").disconnectSockets(true));

        const reasons = (await Promise.all(gone)).map(([reason]) => reason);
        expect(reasons.every((reason) => /^(io server disconnect|transport close)$/.test(reason))).toBe(true);
        expect(clients[0].connected).toBe(true);
      });
    });

    describe("the views of a node's own rooms", () => {
      test("follow its sockets", async () => {
        const told = await nodes[0].run(async (io, id) => {
          const { adapter, sockets } = io.of("/");
          const events = [];
          for (const name of ["create-room", "join-room", "leave-room", "delete-room"]) {
            adapter.on(name, (...args) => events.push([name, ...args]));
          }
          const socket = sockets.get(id);
          const look = () => [
            adapter.rooms.get("seen")?.has(id),
            adapter.sids.get(id).has("seen"),
            socket.rooms.has("seen"),
          ];
          await socket.join("seen");
          const inside = look();
          await socket.leave("seen");
          const outside = look();
          for (const name of ["create-room", "join-room", "leave-room", "delete-room"]) {
            adapter.removeAllListeners(name);
          }
          return { inside, outside, events };
        }, clients[0].id);

        expect(told.inside).toEqual([true, true, true]);
        expect(told.outside.map(Boolean)).toEqual([false, false, false]);
        expect(told.events).toEqual([
          ["create-room", "seen"],
          ["join-room", "seen", clients[0].id],
          ["leave-room", "seen", clients[0].id],
          ["delete-room", "seen"],
        ]);
      });
    });

    describe("servers among themselves", () => {
      test("hear what another one emits to them", async () => {
        for (const node of nodes) {
          await node.run((io) => {
            globalThis.heardServers ??= new WeakMap();
            globalThis.heardServers.set(io, []);
            io.on("notice", (...args) => globalThis.heardServers.get(io).push(args));
          });
        }
        const heardBy = (n) => nodes[n].run((io) => globalThis.heardServers.get(io));

        await nodes[0].run((io) => void io.serverSideEmit("notice", 1, { two: ["3"] }));
        await eventually(async () => (await heardBy(1)).length === 1 && (await heardBy(2)).length === 1);

        expect(await heardBy(1)).toEqual([[1, { two: ["3"] }]]);
        expect(await heardBy(0)).toEqual([]);
        for (const node of nodes) await node.run((io) => void io.removeAllListeners("notice"));
      });

      test("answer each other", async () => {
        for (const [n, node] of nodes.entries()) {
          await node.run((io, own) => void io.on("who", (more, answer) => answer(`${own}${more}`)), n);
        }

        const answers = await nodes[1].run((io) => io.serverSideEmitWithAck("who", "!"));

        expect(answers.sort()).toEqual(["0!", "2!"]);
        for (const node of nodes) await node.run((io) => void io.removeAllListeners("who"));
      });

      test("tell who has not answered in time", async () => {
        await nodes[0].run((io) => void io.on("who", (answer) => answer("zero")));
        await nodes[2].run((io) => void io.on("who", () => {}));

        const outcome = await nodes[1].run(
          (io) =>
            new Promise((resolve) => {
              io.serverSideEmit("who", (error, responses) => resolve({ message: error.message, responses }));
            }),
        );

        expect(outcome).toEqual({
          message: expect.stringMatching(
            /^timeout reached: (only 1 responses received out of 2|missing 1 responses)$/,
          ),
          responses: ["zero"],
        });
        for (const node of nodes) await node.run((io) => void io.removeAllListeners("who"));
      });
    });

    // The last, because it takes a node away.
    test("go on when a node has left", async () => {
      const gone = once(clients[2], "disconnect");
      await nodes[2].close();
      await gone;
      const left = nodes.slice(0, 2);
      for (const node of left) {
        await eventually(async () => (await node.run((io) => io.of("/").adapter.serverCount())) === 2);
      }

      await nodes[0].run((io) => void io.emit("still here"));
      await Promise.all([0, 1].map((n) => eventually(() => told(heard[n]).length === 1)));
      const ids = await within(
        nodes[1].run(async (io) => (await io.fetchSockets()).map((socket) => socket.id)),
        "the sockets of the others",
      );

      expect(ids.sort()).toEqual([clients[0].id, clients[1].id].sort());
    });
  });
}

module.exports = { describeCluster, BYTES };
