"use strict";

/** The engine on a port that the core serves, which `ownPort` asks for. */

const {
  POLLING,
  TestEngine,
  afterThisTest,
  deferred,
  echoed,
  engineModule,
  eventually,
  ferrioOnly,
  once,
  request,
  within,
} = require("./support");

const HANDSHAKE = "EIO=4&transport=polling";

/** Whether the core has the port, and not Node. */
const isOfCore = (server) => server.httpServer.listening && server.httpServer._handle === null;

async function startOnOwnPort(options) {
  const listening = deferred();
  const engine = engineModule.listen(0, { ownPort: true, ...options }, listening.resolve);
  await within(listening.promise, "the engine to listen");
  const server = new TestEngine(engine, engine.httpServer);
  afterThisTest(() => server.close());
  await eventually(() => isOfCore(server));
  return server;
}

ferrioOnly("it has a port of its own", () => {
  test.each([["polling"], ["websocket"], ["polling", "websocket"]])(
    "serves clients, %#",
    async (...transports) => {
      const server = await startOnOwnPort();
      server.engine.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
      const { client, socket } = await server.pair({ transports });
      if (transports.length > 1 && !socket.upgraded) await once(socket, "upgrade");
      await echoed(client);
      expect([socket.request.url.startsWith("/engine.io/?"), isOfCore(server)]).toEqual([true, true]);
      const closed = once(socket, "close");
      client.close();
      expect((await closed)[0]).toBe("transport close");
      await eventually(() => Object.values(server.engine._held()).every((n) => n === 0));
    },
  );

  test("tells of refusals, makes ids, and answers 501 elsewhere", async () => {
    const server = await startOnOwnPort();
    const asked = [];
    server.engine.generateId = async (given) => {
      asked.push(given);
      return "mine";
    };
    const { socket } = await server.pair(POLLING);
    expect([socket.id, asked[0] === socket.request]).toEqual(["mine", true]);
    const error = server.nextError();
    expect((await server.request("EIO=4&transport=pigeon")).status).toBe(400);
    expect((await error).context).toEqual({ transport: "pigeon" });
    const elsewhere = await request(server, "/elsewhere");
    expect([elsewhere.status, elsewhere.text, isOfCore(server)]).toEqual([501, "Not Implemented", true]);
  });

  test("calls back, flushes and drains", async () => {
    const server = await startOnOwnPort();
    const session = await server.polling();
    const heard = [];
    for (const event of ["flush", "drain"]) session.socket.on(event, () => heard.push(event));
    session.socket.send("a", (transport) => heard.push(transport.name));
    expect((await session.poll()).text).toBe("4a");
    await eventually(() => heard.length === 3);
    expect(heard).toEqual(["flush", "polling", "drain"]);
    expect(session.socket.writeBuffer).toEqual([]);
  });

  test("gives the port to Node when something has to see the requests", async () => {
    const server = await startOnOwnPort();
    const { client } = await server.pair();
    server.engine.use((_request, response, next) => {
      response.setHeader("x-seen", "yes");
      next();
    });
    const answer = await eventually(() => server.request(HANDSHAKE));
    await eventually(async () => (await server.request(HANDSHAKE)).headers["x-seen"] === "yes");
    expect([answer.status, isOfCore(server), client.readyState]).toEqual([200, false, "open"]);
  });

  test("is for Node from the beginning where an option needs it", async () => {
    const listening = deferred();
    const options = { ownPort: true, allowRequest: (_request, answer) => answer(null, true) };
    const engine = engineModule.listen(0, options, listening.resolve);
    await within(listening.promise, "the engine to listen");
    const server = new TestEngine(engine, engine.httpServer);
    afterThisTest(() => server.close());
    await server.pair();
    expect(isOfCore(server)).toBe(false);
  });
});
