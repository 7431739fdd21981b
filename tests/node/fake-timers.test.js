"use strict";

/** Timeouts of acks in tests that replace the timers. */

const { afterThisTest, deferred, ferrioOnly, once, startServer } = require("./support");

/** What is not for timeouts. */
const OTHERS = [
  "Date",
  "hrtime",
  "nextTick",
  "performance",
  "queueMicrotask",
  "setImmediate",
  "clearImmediate",
];

function replaceTimers(options) {
  jest.useFakeTimers(options);
  afterThisTest(() => jest.useRealTimers());
}

/** Declares what holds however the timers are replaced. */
function scenarios(options) {
  test("an ack times out when the test's clock says so", async () => {
    const { socket } = await (await startServer()).pair();
    replaceTimers(options);
    const outcomes = [];
    socket.timeout(5000).emit("unanswered", (...args) => outcomes.push(args));
    jest.advanceTimersByTime(4999);
    expect(outcomes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(outcomes).toEqual([[new Error("operation has timed out")]]);
  });

  test("an answer in time is taken, and a late one is not", async () => {
    const { client, socket } = await (await startServer()).pair();
    const late = deferred();
    client.on("ask", (answer) => answer("in time"));
    client.on("ask late", (answer) => late.resolve(answer));
    replaceTimers(options);
    const outcomes = [];
    await new Promise((resolve) => {
      socket.timeout(5000).emit("ask", (...args) => resolve(outcomes.push(args)));
    });
    jest.advanceTimersByTime(5000);
    socket.timeout(5000).emit("ask late", (...args) => outcomes.push(args));
    const answer = await late.promise;
    jest.advanceTimersByTime(5000);
    answer("late");
    const heard = once(socket, "behind it");
    client.emit("behind it");
    await heard;
    expect(outcomes).toEqual([[null, "in time"], [new Error("operation has timed out")]]);
  });

  test("a promise of an answer is rejected, also when the client has left meanwhile", async () => {
    const { client, socket } = await (await startServer()).pair();
    replaceTimers(options);
    const outcome = socket.timeout(5000).emitWithAck("unanswered");
    const left = once(socket, "disconnect");
    client.close();
    await left;
    jest.advanceTimersByTime(5000);
    await expect(outcome).rejects.toThrow("operation has timed out");
  });

  test("a broadcast times out with the answers until then", async () => {
    const server = await startServer();
    const [first, second] = [await server.pair(), await server.pair()];
    first.client.on("ask", (answer) => {
      answer("yes");
      first.client.emit("has answered");
    });
    second.client.on("ask", () => second.client.emit("has heard"));
    replaceTimers(options);
    const outcomes = [];
    const heard = [once(first.socket, "has answered"), once(second.socket, "has heard")];
    server.io.timeout(5000).emit("ask", (...args) => outcomes.push(args));
    await Promise.all(heard);
    jest.advanceTimersByTime(4999);
    expect(outcomes).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(outcomes).toEqual([[new Error("operation has timed out"), ["yes"]]]);
    const all = server.io.timeout(5000).emitWithAck("ask");
    await Promise.all([once(first.socket, "has answered"), once(second.socket, "has heard")]);
    jest.advanceTimersByTime(5000);
    await expect(all).rejects.toMatchObject({ responses: ["yes"] });
  });

  test("a broadcast that everybody answers does not wait for the clock", async () => {
    const server = await startServer();
    const { client } = await server.pair();
    client.on("ask", (answer) => answer("yes"));
    replaceTimers(options);
    expect(await server.io.timeout(5000).emitWithAck("ask")).toEqual(["yes"]);
    expect(await server.io.in("nobody's room").timeout(5000).emitWithAck("ask")).toEqual([]);
  });
}

describe("fake timers", () => {
  describe("of jest", () => scenarios({ doNotFake: OTHERS }));

  // With these, events do not arrive in socket.io.
  ferrioOnly("it does not stand still while a test has replaced everything", () => {
    describe("of jest, for everything", () => scenarios({}));

    describe("of jest's older kind", () => scenarios({ legacyFakeTimers: true }));
  });

  test("what was asked before the timers came back is still kept by them", async () => {
    const { socket } = await (await startServer()).pair();
    replaceTimers({ doNotFake: OTHERS });
    const outcomes = [];
    socket.timeout(5000).emit("unanswered", (...args) => outcomes.push(args));
    expect(jest.getTimerCount()).toBeGreaterThan(0);
    jest.runOnlyPendingTimers();
    expect(outcomes).toHaveLength(1);
    jest.useRealTimers();
    await expect(socket.timeout(10).emitWithAck("unanswered")).rejects.toThrow("operation has timed out");
  });
});
