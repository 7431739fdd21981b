"use strict";

/** Applications that make mistakes, and clients that mean harm: nothing may block, leak or end the process. */

const { execFile } = require("node:child_process");
const { randomBytes } = require("node:crypto");
const http = require("node:http");
const path = require("node:path");
const { POLLING, closing, eventually, ferrioOnly, once, openTcp, startEngine, within } = require("./support");

const HANDSHAKE = "EIO=4&transport=polling";
const UPGRADE = { transports: ["polling", "websocket"] };

/** What a program prints. */
function run(name) {
  const program = path.resolve(__dirname, `../programs/${name}.js`);
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [program], (error, out) => (error ? reject(error) : resolve(out)));
  });
}

/** Waits until the engine holds nothing for any client. */
async function empty(engine) {
  await eventually(() => {
    const held = Object.entries(engine._held()).filter(([, n]) => n > 0);
    if (held.length > 0) throw new Error(JSON.stringify(held));
    return true;
  });
}

ferrioOnly("it can tell what it holds", () => {
  test("listeners that throw cost nobody else anything", async () => {
    const { answer, held, seen } = JSON.parse(await within(run("engine-throws"), "the program to end"));
    expect([answer, held]).toEqual(["still serving", []]);
    expect(seen).toEqual([
      "server connection",
      "server connection_error",
      "server drain",
      "server flush",
      "server headers",
      "server initial_headers",
      "socket close",
      "socket data",
      "socket drain",
      "socket flush",
      "socket heartbeat",
      "socket message",
      "socket packet",
      "socket packetCreate",
      "socket upgrade",
      "socket upgrading",
      "transport close",
    ]);
  });

  test.each([
    "packet",
    "data",
    "message",
    "packetCreate",
    "flush",
    "drain",
    "heartbeat",
    "upgrading",
    "upgrade",
  ])("a session may be closed in its %s event", async (event) => {
    const server = await startEngine({ pingInterval: 20 });
    const reasons = [];
    server.engine.on("connection", (socket) => {
      socket.on(event, () => socket.close());
      socket.on("close", (reason) => reasons.push(reason));
    });
    const { client, socket } = await server.pair(UPGRADE);
    const closed = once(client, "close");
    client.send("up");
    socket.send("down", () => {});
    await closed;
    await eventually(() => reasons.length > 0);
    // What it sends after that goes nowhere.
    expect(socket.send("late") === socket).toBe(true);
    expect([socket.readyState, server.engine.clientsCount, reasons]).toEqual(["closed", 0, ["forced close"]]);
    await empty(server.engine);
  });

  test("a session may be closed for good in its close event, and in the connection event", async () => {
    const server = await startEngine();
    server.engine.on("connection", (socket) => {
      socket.on("close", () => socket.close(true));
      socket.close(true);
    });
    for (const transports of [["polling"], ["websocket"]]) {
      const client = server.client({ transports });
      await once(client, "close");
    }
    await empty(server.engine);
  });

  test("thousands of refused requests are told one by one, and forgotten", async () => {
    const server = await startEngine();
    let n = 0;
    server.engine.on("connection_error", () => {
      n += 1;
    });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 20 });
    const refused = () =>
      new Promise((resolve, reject) => {
        const target = `${server.url}/engine.io/?EIO=4&transport=polling&sid=nobody`;
        http.get(target, { agent }, (answer) => resolve(answer.resume().statusCode)).on("error", reject);
      });
    const statuses = await Promise.all(Array.from({ length: 3000 }, refused));
    agent.destroy();
    expect(new Set(statuses)).toEqual(new Set([400]));
    await eventually(() => n === 3000);
    await empty(server.engine);
  });

  test("a client that is gone is not waited for by generateId", async () => {
    const server = await startEngine();
    const asked = new Promise((resolve) => {
      server.engine.generateId = () => {
        resolve();
        return new Promise(() => {});
      };
    });
    const connection = await openTcp(server);
    connection.write(`GET /engine.io/?${HANDSHAKE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    await within(asked, "the question");
    connection.socket.destroy();
    await empty(server.engine);
  });

  // A port of its own answers by itself.
  const testAttached = globalThis.FERRIO_TEST_DOOR === "attach" ? test : test.skip;

  testAttached("a session that ends before its first answer leaves is told of, and forgotten", async () => {
    const initialPacket = randomBytes(1 << 22).toString("hex");
    const server = await startEngine({ initialPacket, httpCompression: { threshold: 1024 } });
    const heard = [];
    server.engine.on("connection", (socket) => {
      heard.push("connection");
      socket.on("close", (reason) => heard.push(reason));
    });
    const headers = { "accept-encoding": "gzip" };
    const answer = server.request(HANDSHAKE, { headers });
    await eventually(() => server.engine._held().openings > 0);
    server.engine.close();
    await answer;
    await eventually(() => heard.length === 2);
    expect(heard).toEqual(["connection", "forced close"]);
    await empty(server.engine);
  });

  test("a listener that throws hears once of an id that could not be made", async () => {
    const said = JSON.parse(await within(run("engine-no-id"), "the program to end"));
    expect(said).toEqual({ status: 400, told: ["no id"], unhandled: "a listener's mistake" });
  });

  test("an id that never comes is not waited for", async () => {
    const server = await startEngine({ connectTimeout: 50 });
    server.engine.generateId = () => new Promise(() => {});
    expect((await server.request(HANDSHAKE)).status).toBe(403);
    await empty(server.engine);
  });

  test.each([
    ["in use", "twice"],
    ["empty", ""],
  ])("an id that is %s refuses the client", async (_what, id) => {
    const server = await startEngine();
    server.engine.generateId = () => "twice";
    const first = await server.pair();
    server.engine.generateId = () => id;
    for (const query of [HANDSHAKE, "EIO=4&transport=websocket"]) {
      const error = server.nextError();
      const answer = query === HANDSHAKE ? await server.request(query) : await server.refusedWebSocket(query);
      expect(answer.status).toBe(400);
      expect((await error).context.name).toBe("ID_GENERATION_ERROR");
    }
    expect([server.engine.clientsCount, first.socket.readyState]).toEqual([1, "open"]);
    await closing(first.socket, () => first.client.close());
    await empty(server.engine);
  });

  test("headers that cannot be written are left out", async () => {
    const server = await startEngine();
    server.engine.on("headers", (headers) => {
      Object.assign(headers, {
        "bad name": "1",
        "x-bad": "a\nb: c",
        "x-worse": {},
        "x-good": "1",
        "x-none": undefined,
      });
    });
    const session = await server.polling();
    expect(session.opening.headers).toMatchObject({ "x-good": "1" });
    expect(session.opening.headers["x-bad"]).toBeUndefined();
    const client = server.client();
    const opened = once(client, "open");
    const [response] = await once(client.transport.ws, "upgrade");
    expect(response.headers).toMatchObject({ "x-good": "1" });
    expect(response.headers["x-bad"]).toBeUndefined();
    await opened;
  });

  test("sessions that only come and go leave nothing behind", async () => {
    const server = await startEngine();
    server.engine.on("connection", (socket) => socket.on("message", (data) => socket.send(data, () => {})));
    for (const options of [{}, POLLING, UPGRADE]) {
      const pairs = await Promise.all(Array.from({ length: 20 }, () => server.pair(options)));
      await Promise.all(
        pairs.map(async ({ client }) => {
          const echo = once(client, "message");
          client.send("x");
          await echo;
        }),
      );
      for (const { client } of pairs) client.close();
      await eventually(() => server.engine.clientsCount === 0);
    }
    await empty(server.engine);
  });

  test("a session nobody polls for any more is closing only for as long as its client has to answer", async () => {
    const server = await startEngine({ pingInterval: 20, pingTimeout: 20 });
    const session = await server.polling();
    const closed = once(session.socket, "close");
    session.socket.close();
    expect(session.socket.readyState).toBe("closing");
    expect((await closed)[0]).toBe("ping timeout");
    await empty(server.engine);
  });
});
