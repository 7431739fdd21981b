"use strict";

/** Options of an engine that is at work: `engine.opts`. */

const { ferrioOnly, startEngine } = require("./support");

const ORIGINS = ["http://one.example", "http://two.example"];

describe("engine.opts", () => {
  test("says what is in force", async () => {
    const server = await startEngine({ pingInterval: 1234, transports: ["polling"] });
    expect(server.engine.opts).toMatchObject({
      pingInterval: 1234,
      pingTimeout: 20000,
      transports: ["polling"],
      maxHttpBufferSize: 1e6,
    });
  });

  test("changes what new sessions are told", async () => {
    const server = await startEngine();
    const before = await server.polling();
    Object.assign(server.engine.opts, {
      pingInterval: 12345,
      pingTimeout: 23456,
      maxHttpBufferSize: 1000,
      allowUpgrades: false,
    });
    const { handshake } = await server.polling();

    expect(before.handshake).toMatchObject({ pingInterval: 25000, upgrades: ["websocket"] });
    expect(handshake).toMatchObject({
      pingInterval: 12345,
      pingTimeout: 23456,
      maxPayload: 1000,
      upgrades: [],
    });
    expect(server.engine.opts.pingInterval).toBe(12345);
  });

  test("changes how often new sessions are pinged", async () => {
    const server = await startEngine();
    server.engine.opts.pingInterval = 20;
    const webSocket = await server.webSocket();
    expect(await webSocket.next({ pings: true })).toBe("2");
  });

  test("changes how much new sessions may post", async () => {
    const server = await startEngine();
    server.engine.opts.maxHttpBufferSize = 10;
    const session = await server.polling();
    expect((await session.post("4short")).status).toBe(200);
    expect((await session.post(`4${"x".repeat(20)}`)).status).toBe(413);
  });

  test("changes which transports and revisions are taken", async () => {
    const server = await startEngine();
    server.engine.opts.transports = ["websocket"];
    expect((await server.request("EIO=4&transport=polling")).text).toBe(
      '{"code":0,"message":"Transport unknown"}',
    );
    server.engine.opts.transports = ["polling", "websocket"];
    expect((await server.request("EIO=3&transport=polling")).status).toBe(400);
    server.engine.opts.allowEIO3 = true;
    expect((await server.request("EIO=3&transport=polling")).status).toBe(200);
  });

  test("changes who decides about requests", async () => {
    const server = await startEngine();
    server.engine.opts.allowRequest = (_request, answer) => answer("not today", false);
    const answer = await server.request("EIO=4&transport=polling");
    expect([answer.status, answer.text]).toEqual([403, '{"code":4,"message":"not today"}']);
    server.engine.opts.allowRequest = (_request, answer) => answer(null, true);
    expect((await server.request("EIO=4&transport=polling")).status).toBe(200);
  });

  test("changes the origins that may read answers", async () => {
    const server = await startEngine({ cors: { origin: ORIGINS[0] } });
    const allowed = async () => {
      const { headers } = await server.request("EIO=4&transport=polling", {
        headers: { origin: ORIGINS[1] },
      });
      return headers["access-control-allow-origin"];
    };
    expect(await allowed()).toBe(ORIGINS[0]);
    server.engine.opts.cors.origin = ORIGINS[1];
    expect(await allowed()).toBe(ORIGINS[1]);
    server.engine.opts.cors.origin = (_origin, answer) => answer(null, "http://asked.example");
    expect(await allowed()).toBe("http://asked.example");
  });

  ferrioOnly("engine.io looks at neither when it has begun", () => {
    test("changes the cookie", async () => {
      const server = await startEngine();
      server.engine.opts.cookie = { name: "session" };
      const { headers } = await server.request("EIO=4&transport=polling");
      expect(headers["set-cookie"][0]).toMatch(/^session=/);
    });

    test("turns cross-origin rules on", async () => {
      const server = await startEngine();
      server.engine.opts.cors = { origin: ORIGINS };
      const { headers } = await server.request("EIO=4&transport=polling", {
        headers: { origin: ORIGINS[1] },
      });
      expect(headers["access-control-allow-origin"]).toBe(ORIGINS[1]);
    });
  });

  ferrioOnly("engine.io takes any value", () => {
    test("a bad value is refused, and nothing changes", async () => {
      const server = await startEngine();
      const change = () => {
        server.engine.opts.pingInterval = 0;
      };
      expect(change).toThrow(
        "option `pingInterval` must be a number of milliseconds from 1 to 86400000, not 0",
      );
      expect(server.engine.opts.pingInterval).toBe(25000);
      expect((await server.polling()).handshake.pingInterval).toBe(25000);
    });

    test("what cannot be changed any more is said in a warning", async () => {
      const server = await startEngine();
      const warned = jest.spyOn(process, "emitWarning").mockImplementation();
      await server.polling();
      server.engine.opts.initialPacket = "hello";
      const warnings = warned.mock.calls.map(([message]) => message);
      warned.mockRestore();
      expect(warnings).toEqual(["option `initialPacket` cannot be changed while the server runs"]);
    });

    test("the WebSocket server of another package is ignored, with one warning in a process", async () => {
      const warned = jest.spyOn(process, "emitWarning").mockImplementation();
      for (let n = 0; n < 2; n += 1) await startEngine({ wsEngine: class {} });
      const warnings = warned.mock.calls.map(([message]) => message);
      warned.mockRestore();
      expect(warnings).toEqual(["option `wsEngine` has no effect: the core has its own WebSockets"]);
    });
  });
});
