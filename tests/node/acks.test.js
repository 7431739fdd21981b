"use strict";

const {
  POLLING,
  WEBSOCKET,
  barrier,
  deferred,
  eventually,
  ferrioOnly,
  join,
  once,
  openWebSocket,
  startServer,
} = require("./support");

/** Calls `emit` with an ack callback and resolves with the arguments of the callback. */
function answerOf(emitter, ...args) {
  return new Promise((resolve) => emitter.emit(...args, (...answer) => resolve(answer)));
}

describe("acks", () => {
  test("the server answers an event of the client", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, POLLING]) {
      const { client, socket } = await server.pair("/", transport);
      socket.on("add", (a, b, answer) => answer(a + b));
      expect(await answerOf(client, "add", 2, 3)).toEqual([5]);
    }
  });

  test("the client answers an event of the server", async () => {
    const server = await startServer();
    for (const transport of [WEBSOCKET, POLLING]) {
      const { client, socket } = await server.pair("/", transport);
      client.on("add", (a, b, answer) => answer(a + b));
      expect(await answerOf(socket, "add", 2, 3)).toEqual([5]);
    }
  });

  test("an answer may have no arguments, or many", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const many = [1, "two", null, { three: 3 }, [4]];
    socket.on("ask", (args, answer) => answer(...args));
    client.on("ask", (args, answer) => answer(...args));
    for (const args of [[], [null], many]) {
      expect(await answerOf(client, "ask", args)).toStrictEqual(args);
      expect(await answerOf(socket, "ask", args)).toStrictEqual(args);
    }
  });

  test("a promise resolves with the client's answer", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    client.on("ask", (value, answer) => setImmediate(answer, { got: value }));
    expect(await socket.emitWithAck("ask", "v")).toEqual({ got: "v" });
    expect(await socket.timeout(10000).emitWithAck("ask", "w")).toEqual({ got: "w" });
  });

  test("the client's promise resolves with the server's answer", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    socket.on("ask", async (value, answer) => {
      await new Promise(setImmediate);
      answer({ got: value });
    });
    expect(await client.emitWithAck("ask", "v")).toEqual({ got: "v" });
    expect(await client.timeout(10000).emitWithAck("ask", "w")).toEqual({ got: "w" });
  });

  test("a hundred outstanding acks are each answered with their own value", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    // Both sides keep what they were asked until they have all of it, and then answer the last first.
    for (const [asked, asker] of [
      [socket, client],
      [client, socket],
    ]) {
      const kept = [];
      asked.on("square", (n, answer) => {
        kept.unshift(() => answer(n * n));
        if (kept.length === 100) kept.forEach((run) => run());
      });
      const answers = await Promise.all(numbers.map((n) => asker.timeout(10000).emitWithAck("square", n)));
      expect(answers).toEqual(numbers.map((n) => n * n));
    }
  });

  test("a client that does not answer in time lets the call fail", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    client.on("ask", () => {});
    const [error, ...rest] = await answerOf(socket.timeout(50), "ask");
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toBe("operation has timed out");
    expect(rest).toEqual([]);
    await expect(socket.timeout(50).emitWithAck("ask")).rejects.toThrow("operation has timed out");
  });

  test("a server that does not answer in time lets the client's call fail", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    socket.on("ask", () => {});
    await expect(client.timeout(50).emitWithAck("ask")).rejects.toThrow("operation has timed out");
    await barrier(client);
  });

  test("an answer in time leaves no error", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    client.on("ask", (answer) => answer("in time", "twice"));
    expect(await answerOf(socket.timeout(10000), "ask")).toEqual([null, "in time", "twice"]);
  });

  test("a late answer is ignored", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const asked = once(client, "ask");
    const callback = jest.fn();
    const failed = new Promise((resolve) => {
      socket.timeout(50).emit("ask", (...args) => {
        callback(...args);
        resolve();
      });
    });
    const [answer] = await asked;
    await failed;
    answer("too late");
    await barrier(client);
    expect(callback).toHaveBeenCalledTimes(1);
    expect(callback.mock.calls[0][0]).toBeInstanceOf(Error);
  });

  test("a second answer from the server is ignored", async () => {
    const server = await startServer();
    server.io.on("connection", (socket) => {
      socket.on("ask", (answer) => {
        answer("first");
        answer("second");
      });
    });
    const peer = await openWebSocket(server);
    peer.send('427["ask"]');
    expect(await peer.next()).toBe('437["first"]');
    peer.send('428["barrier"]');
    expect(await peer.next()).toBe("438[]");
  });

  test("a second answer from the client is ignored", async () => {
    const server = await startServer();
    const connection = once(server.io, "connection");
    const peer = await openWebSocket(server);
    const [socket] = await connection;
    const callback = jest.fn();
    socket.emit("ask", callback);
    const id = /^42(\d+)\["ask"\]$/.exec(await peer.next())[1];
    peer.send(`43${id}["first"]`);
    peer.send(`43${id}["second"]`);
    peer.send('421["barrier"]');
    expect(await peer.next()).toBe("431[]");
    expect(callback.mock.calls).toEqual([["first"]]);
  });

  test("a forged ack is ignored", async () => {
    const server = await startServer();
    const connection = once(server.io, "connection");
    const peer = await openWebSocket(server);
    const [socket] = await connection;
    const callback = jest.fn();
    socket.emit("ask", callback);
    const id = Number(/^42(\d+)\["ask"\]$/.exec(await peer.next())[1]);
    for (const forged of [id + 1, 999999, Number.MAX_SAFE_INTEGER]) peer.send(`43${forged}["forged"]`);
    peer.send('43["no id"]');
    peer.send('421["barrier"]');
    expect(await peer.next()).toBe("431[]");
    expect(callback).not.toHaveBeenCalled();
    peer.send(`43${id}["real"]`);
    await eventually(() => callback.mock.calls.length > 0);
    expect(callback.mock.calls).toEqual([["real"]]);
  });

  test("a client cannot answer in another's place", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    const forger = await openWebSocket(server);
    const asked = once(client, "ask");
    const answered = jest.fn();
    socket.emit("ask", answered);
    const [answer] = await asked;
    for (let id = 0; id < 20; id += 1) forger.send(`43${id}["forged"]`);
    forger.send('421["barrier"]');
    expect(await forger.next()).toBe("431[]");
    expect(answered).not.toHaveBeenCalled();
    answer("real");
    await eventually(() => answered.mock.calls.length > 0);
    expect(answered.mock.calls).toEqual([["real"]]);
  });

  test("a pending ack of a client that disconnects fails with its timeout", async () => {
    const server = await startServer();
    const { client, socket } = await server.pair();
    client.on("ask", () => client.disconnect());
    await expect(socket.timeout(200).emitWithAck("ask")).rejects.toThrow();
    expect(socket.connected).toBe(false);
  });

  test("a broadcast collects the answers of all receivers", async () => {
    const server = await startServer();
    const pairs = await Promise.all(
      [WEBSOCKET, POLLING, WEBSOCKET].map((transport) => server.pair("/", transport)),
    );
    pairs.forEach(({ client }, n) => client.on("ask", (value, answer) => answer(`${value} ${n}`)));
    const [error, answers] = await answerOf(server.io.timeout(10000), "ask", "hello");
    expect(error).toBeNull();
    expect(answers.sort()).toEqual(["hello 0", "hello 1", "hello 2"]);

    pairs[1].socket.join("few");
    pairs[2].socket.join("few");
    const [, few] = await answerOf(server.io.to("few").timeout(10000), "ask", "few");
    expect(few.sort()).toEqual(["few 1", "few 2"]);
    const [, others] = await answerOf(pairs[0].socket.broadcast.timeout(10000), "ask", "others");
    expect(others.sort()).toEqual(["others 1", "others 2"]);
  });

  test("a broadcast whose receiver keeps silent fails with the answers so far", async () => {
    const server = await startServer();
    const clients = await Promise.all([server.connect(), server.connect(), server.connect()]);
    const silent = once(clients[2], "ask");
    clients[0].on("ask", (answer) => answer("a"));
    clients[1].on("ask", (answer) => answer("b"));
    const [error, answers] = await answerOf(server.io.timeout(300), "ask");
    await silent;
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toBe("operation has timed out");
    expect(answers.sort()).toEqual(["a", "b"]);
  });

  test("a broadcast with ack to nobody gives no answers at once", async () => {
    const server = await startServer();
    expect(await answerOf(server.io.timeout(60000), "ask")).toEqual([null, []]);
    await server.connect();
    expect(await answerOf(server.io.to("nobody").timeout(60000), "ask")).toEqual([null, []]);
  });

  test("a promise of a broadcast resolves with all answers", async () => {
    const server = await startServer();
    const clients = await Promise.all([server.connect(), server.connect()]);
    clients.forEach((client, n) => client.on("ask", (answer) => answer(n)));
    const answers = await server.io.timeout(10000).emitWithAck("ask");
    expect(answers.sort()).toEqual([0, 1]);
  });

  test("a promise of a broadcast rejects with the answers so far", async () => {
    const server = await startServer();
    const clients = await Promise.all([server.connect(), server.connect()]);
    const silent = once(clients[1], "ask");
    clients[0].on("ask", (answer) => answer("only one"));
    const error = await server.io
      .timeout(300)
      .emitWithAck("ask")
      .catch((reason) => reason);
    await silent;
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toBe("operation has timed out");
    expect(error.responses).toEqual(["only one"]);
  });

  test("broadcast acks of several namespaces do not mix", async () => {
    const server = await startServer();
    server.watch("/one");
    server.watch("/two");
    const one = await server.connect("/one");
    const two = await join(one, "/two");
    const held = deferred();
    one.on("ask", (answer) => held.promise.then(() => answer("one")));
    two.on("ask", (answer) => answer("two"));
    const first = server.io.of("/one").timeout(10000).emitWithAck("ask");
    const second = server.io.of("/two").timeout(10000).emitWithAck("ask");
    expect(await second).toEqual(["two"]);
    held.resolve();
    expect(await first).toEqual(["one"]);
  });

  test("a broadcast with bytes collects bytes from WebSocket and polling receivers", async () => {
    const server = await startServer();
    const clients = await Promise.all(
      [WEBSOCKET, POLLING].map((transport) => server.connect("/", transport)),
    );
    for (const client of clients)
      client.on("ask", (bytes, answer) => answer(Buffer.concat([bytes, Buffer.from("!")])));
    const answers = await server.io.timeout(10000).emitWithAck("ask", Buffer.from("hi"));
    expect(answers).toStrictEqual([Buffer.from("hi!"), Buffer.from("hi!")]);
  });
});

ferrioOnly("the official server keeps whatever it is answered", () => {
  describe("acks", () => {
    test("a broadcast whose answers are too large fails with those that fit", async () => {
      const server = await startServer({ limits: { maxAckBytes: 100_000 } });
      const clients = await Promise.all([1, 2, 3, 4].map(() => server.connect()));
      let answer = "x".repeat(40_000);
      for (const client of clients) client.on("ask", (reply) => reply(answer));
      const [error, answers] = await answerOf(server.io.timeout(60000), "ask");
      expect(error.message).toBe("the answers are too large");
      expect(answers).toEqual([answer, answer]);
      const rejected = await server.io
        .timeout(60000)
        .emitWithAck("ask")
        .catch((reason) => reason);
      expect(rejected.responses).toEqual([answer, answer]);
      answer = "short";
      expect(await server.io.timeout(60000).emitWithAck("ask")).toEqual(Array(4).fill("short"));
    });
  });
});
