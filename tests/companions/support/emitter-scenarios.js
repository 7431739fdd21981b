"use strict";

/** What a process without a server tells the clients of a cluster. */

const { record } = require("../../node/support/client");
const { eventually, once } = require("../../node/support/wait");
const { acquainted, deserted } = require("./nodes");

const BYTES = Buffer.from([0, 1, 254, 255]);

/** Declares the scenarios for two nodes and an emitter, which `start` returns as `{ nodes, emitter, release }`. */
function describeEmitter(title, start) {
  describe(title, () => {
    let nodes = [];
    let emitter;
    let release = () => {};
    let clients;
    let heard;

    beforeAll(async () => {
      ({ nodes, emitter, release } = await start());
      await Promise.all(nodes.map((node) => node.run((io) => void io.of("/other"))));
    }, 60_000);

    afterAll(async () => {
      for (const node of nodes) await node.close();
      await release();
    });

    beforeEach(async () => {
      await deserted(nodes);
      if (clients === undefined) {
        await acquainted(nodes);
        await acquainted(nodes, "/other");
      }
      clients = await Promise.all(nodes.map((node) => node.connect()));
      heard = clients.map(record);
      await nodes[0].run((io, id) => io.of("/").sockets.get(id).join("first"), clients[0].id);
      await nodes[1].run((io, id) => io.of("/").sockets.get(id).join("second"), clients[1].id);
    });

    /** Waits until a client has heard the last of what is expected of it. */
    const last = (n, event) => eventually(() => heard[n].some(([name]) => name === event));

    test("emits to everybody, with bytes", async () => {
      emitter.emit("hello", 1, { bytes: BYTES });
      await last(0, "hello");
      await last(1, "hello");

      const hello = [["hello", 1, { bytes: BYTES }]];
      expect(heard).toEqual([hello, hello]);
    });

    test("emits to rooms and all but rooms", async () => {
      emitter.to("first").emit("to the first");
      emitter.in(["first", "second"]).emit("to both");
      emitter.except("first").emit("to all but the first");
      emitter.compress(false).emit("done");
      await eventually(() => heard.flat().length === 6);

      const events = heard.map((list) => list.map(([event]) => event).sort());
      expect(events).toEqual([
        ["done", "to both", "to the first"],
        ["done", "to all but the first", "to both"],
      ]);
    });

    test("emits volatile events", async () => {
      const arrived = clients.map((client) => once(client, "position"));
      emitter.volatile.emit("position", 1, 2);

      expect(await Promise.all(arrived)).toEqual([
        [1, 2],
        [1, 2],
      ]);
    });

    test("emits in a namespace", async () => {
      const other = await nodes[1].connect("/other");
      const there = once(other, "there");
      emitter.of("/other").emit("there", 1);
      expect(await there).toEqual([1]);

      emitter.emit("done");
      await last(0, "done");
      expect(heard[0]).toEqual([["done"]]);
    });

    test("has sockets join and leave rooms", async () => {
      const roomsOf = (n) =>
        nodes[n].run((io, id) => [...io.of("/").sockets.get(id).rooms].sort(), clients[n].id);

      emitter.socketsJoin("all");
      await eventually(async () => (await roomsOf(0)).includes("all") && (await roomsOf(1)).includes("all"));
      emitter.in("second").socketsLeave(["all", "second"]);
      await eventually(async () => (await roomsOf(1)).length === 1);

      expect(await roomsOf(0)).toEqual([clients[0].id, "all", "first"].sort());
    });

    test("disconnects sockets", async () => {
      const gone = once(clients[1], "disconnect");
      emitter.in("second").disconnectSockets();

      expect(await gone).toEqual(["io server disconnect", undefined]);
      expect(clients[0].connected).toBe(true);
    });

    test("tells the servers", async () => {
      const told = nodes.map((node) =>
        node.run((io) => new Promise((resolve) => io.once("notice", (...args) => resolve(args)))),
      );
      emitter.serverSideEmit("notice", 1, { two: "3" });

      expect(await Promise.all(told)).toEqual([
        [1, { two: "3" }],
        [1, { two: "3" }],
      ]);
    });
  });
}

module.exports = { describeEmitter };
