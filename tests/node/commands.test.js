"use strict";

const path = require("node:path");
const { ferrioOnly } = require("./support");

/** In the place of a text's length and of a timeout: there is none. */
const ABSENT = -2;
const UNLIMITED = -1;

ferrioOnly("the official server has no native library", () => {
  const dist = path.resolve(__dirname, "../../bindings-node/dist");
  const { AckStatus, Command, Kind, native } = require(path.join(dist, "native"));
  const { optionsForCore } = require(path.join(dist, "options"));

  /** Carries out one command on a new server and returns the records of what came of it. */
  function carryOut(kind, payload, rooms) {
    const server = new native.NativeServer(optionsForCore({ path: "/socket.io" }), () => {}, {});
    try {
      const token = 7;
      const lengths = [rooms?.length ?? ABSENT, ABSENT, payload.length];
      const numbers = Float64Array.of(kind, 1, 0, 0, ...lengths, UNLIMITED, token);
      server.flush(1, numbers, numbers.length, `${rooms ?? ""}${payload}`, undefined, undefined);
      const [, , ...values] = JSON.parse(server.drain());
      return Array.from({ length: values.length / 4 }, (_, i) => values.slice(4 * i, 4 * i + 4));
    } finally {
      server.close();
    }
  }

  const byName = (entries) => Object.fromEntries(entries.filter(([name]) => Number.isNaN(Number(name))));

  test("TypeScript and Rust list the same commands", () => {
    const commands = byName(Object.entries(Command));
    expect(commands).toEqual(byName(Object.entries(native.Command)));
    expect(Object.values(commands)).toEqual(Object.keys(Object.values(commands)).map(Number));
  });

  test("every command is known", () => {
    for (const kind of Object.values(byName(Object.entries(Command)))) {
      const problems = carryOut(kind, "[]").filter(([record]) => record === Kind.Problem);
      expect([kind, problems]).toEqual([kind, []]);
    }
  });

  test("an unknown command is an error", () => {
    const unknown = Object.keys(native.Command).length;
    expect(carryOut(unknown, "[]")).toEqual([[Kind.Problem, 0, 0, `there is no command ${unknown}`]]);
  });

  test("who waits for acks of nobody is told so", () => {
    expect(carryOut(Command.EmitWithAck, "[]")).toEqual([[Kind.Ack, 7, AckStatus.Disconnected, []]]);
    expect(carryOut(Command.BroadcastWithAck, "[]")).toEqual([[Kind.Ack, 7, AckStatus.Complete, []]]);
  });

  test("rooms that cannot be read are an error", () => {
    const problem = [Kind.Problem, 0, 0, expect.stringMatching(/^rooms cannot be read/)];
    expect(carryOut(Command.Join, "{}")).toEqual([problem]);
    expect(carryOut(Command.Broadcast, "[]", "{}")).toEqual([problem]);
    const ack = [Kind.Ack, 7, AckStatus.Complete, []];
    expect(carryOut(Command.BroadcastWithAck, "[]", "{}")).toEqual([problem, ack]);
  });
});
