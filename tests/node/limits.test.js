"use strict";

const {
  POLLING,
  WEBSOCKET,
  afterThisTest,
  barrier,
  eventually,
  ferrioOnly,
  once,
  openPolling,
  openTcp,
  openTcpWebSocket,
  openWebSocket,
  record,
  startServer,
} = require("./support");

/**
 * A server with one well-behaved client on each transport, which hear nothing but what they are sent: `unharmed` shows
 * that they did not notice what others did.
 */
async function startGuarded(options) {
  const server = await startServer(options);
  const clients = [await server.connect("/", WEBSOCKET), await server.connect("/", POLLING)];
  const heard = clients.map(record);
  const unharmed = async () => {
    server.io.emit("still here");
    await barrier(...clients);
    expect(heard.map((events) => events.splice(0))).toEqual([[["still here"]], [["still here"]]]);
  };
  return { server, unharmed };
}

/** Each packet, sent by a peer of its own that joined the main namespace, must close that peer. */
async function expectClosed({ server, unharmed }, packets) {
  for (const packet of packets) {
    const peer = await openWebSocket(server);
    for (const message of [packet].flat()) peer.send(message);
    await peer.closeCode().catch((error) => {
      throw new Error(`${JSON.stringify(packet).slice(0, 100)}: ${error.message}`);
    });
  }
  await unharmed();
}

describe("limits", () => {
  test("a post above maxHttpBufferSize gets 413 and the session lives on", async () => {
    const { server, unharmed } = await startGuarded({ maxHttpBufferSize: 1000 });
    const session = await openPolling(server);
    expect((await session.post(`42["big","${"x".repeat(1000)}"]`)).status).toBe(413);
    expect((await session.post('421["barrier"]')).text).toBe("ok");
    expect(await session.packets()).toEqual(["431[]"]);
    await unharmed();
  });

  test("a WebSocket message above maxHttpBufferSize closes its sender", async () => {
    const guarded = await startGuarded({ maxHttpBufferSize: 1000 });
    const peer = await openWebSocket(guarded.server);
    peer.send(`42["big","${"x".repeat(1000)}"]`);
    expect(await peer.closeCode()).toBe(1009);
    await expectClosed(guarded, [['451-["big",{"_placeholder":true,"num":0}]', Buffer.alloc(1001)]]);
  });

  test("a payload just below maxHttpBufferSize is accepted", async () => {
    const server = await startServer({ maxHttpBufferSize: 1000 });
    const sized = (bytes) => `421["barrier","${"x".repeat(bytes - '421["barrier",""]'.length)}"]`;
    const session = await openPolling(server);
    expect((await session.post(sized(1001))).status).toBe(413);
    expect((await session.post(sized(1000))).status).toBe(200);
    expect(await session.packets()).toEqual(["431[]"]);
    const peer = await openWebSocket(server);
    peer.send(sized(1000));
    expect(await peer.next()).toBe("431[]");
    peer.send(sized(1001));
    expect(await peer.closeCode()).toBe(1009);
  });

  test("more attachments than allowed close the sender", async () => {
    const { server, unharmed } = await startGuarded();
    const { client, socket } = await server.pair();
    const heard = jest.fn();
    socket.on("bytes", heard);
    const gone = once(socket, "disconnect");
    client.emit("bytes", ...Array.from({ length: 11 }, () => Buffer.from("x")));
    expect((await gone)[0]).toBe("forced close");
    expect(heard).not.toHaveBeenCalled();
    await unharmed();
  });

  test("ten thousand million announced attachments close the sender", async () => {
    await expectClosed(await startGuarded(), [
      '4510000000000-["x"]',
      '4599999999999999999999999-["x"]',
      '4610000000000-1["x"]',
      '45-1-["x"]',
      '45-["x"]',
      '451["x"]',
      "451",
    ]);
  });

  test("attachments that never come are dropped with their sender", async () => {
    const { server, unharmed } = await startGuarded();
    const { length } = await server.io.fetchSockets();
    const peer = await openWebSocket(server);
    peer.send('453-["x",{"_placeholder":true,"num":0}]');
    peer.send(Buffer.alloc(1000));
    peer.close();
    await peer.closeCode();
    await eventually(async () => (await server.io.fetchSockets()).length === length);
    await unharmed();
  });

  test("an attachment without announcement closes its sender", async () => {
    await expectClosed(await startGuarded(), [Buffer.from("x"), Buffer.alloc(0)]);
  });

  test("a text packet between attachments closes its sender", async () => {
    const start = '452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]';
    await expectClosed(await startGuarded(), [
      [start, Buffer.from("x"), '42["y"]'],
      [start, start],
      [start, "41"],
    ]);
  });

  test("a placeholder that points nowhere closes its sender", async () => {
    const nowhere = [1, -1, 1e9, '"0"', "null"].map((num) => [
      `451-["x",{"_placeholder":true,"num":${num}}]`,
      Buffer.from("x"),
    ]);
    await expectClosed(await startGuarded(), nowhere);
  });

  test("events named error, connect, disconnect and newListener do no harm", async () => {
    const guarded = await startGuarded();
    const disconnects = [];
    guarded.server.io.on("connection", (socket) =>
      socket.on("disconnect", (...args) => disconnects.push(args)),
    );
    const names = [
      "connect",
      "connect_error",
      "disconnect",
      "disconnecting",
      "newListener",
      "removeListener",
    ];
    await expectClosed(
      guarded,
      names.map((name) => `42["${name}","forged"]`),
    );
    expect(disconnects.map(([reason]) => reason)).toEqual(names.map(() => "forced close"));
    const peer = await openWebSocket(guarded.server);
    peer.send('42["error",{"message":"forged"}]');
    peer.send('421["barrier"]');
    expect(await peer.next()).toBe("431[]");
    await guarded.unharmed();
  });

  test("an event name that is no text closes its sender", async () => {
    await expectClosed(await startGuarded(), [
      "42[]",
      "42[null]",
      "42[{}]",
      "42[[]]",
      "42[true]",
      '42{"0":"x"}',
      '42"x"',
    ]);
  });

  test("invalid JSON closes its sender", async () => {
    await expectClosed(await startGuarded(), [
      '42["a"',
      '42["a",]',
      "42['a']",
      '42["a"]x',
      '42["a",NaN]',
      '42["a",01]',
      '42["a",\u00a01]',
      '42["\u0001"]',
      '42["\\x41"]',
      "421{",
      "43[",
      '431"x"',
    ]);
  });

  test("JSON nested a hundred thousand levels deep does no harm", async () => {
    const { server, unharmed } = await startGuarded();
    const depth = 100000;
    for (const packet of [
      `42["deep",${"[".repeat(depth)}${"]".repeat(depth)}]`,
      `42["deep",${'{"a":'.repeat(depth)}1${"}".repeat(depth)}]`,
      `42["deep",${"[".repeat(depth)}`,
      `451-["deep",${"[".repeat(depth)}{"_placeholder":true,"num":0}${"]".repeat(depth)}]`,
    ]) {
      const peer = await openWebSocket(server);
      peer.send(packet);
      peer.send('421["barrier"]');
      // Whether such a packet is delivered or closes its sender is the server's choice; that it answers at all is not.
      const answer = await peer.next();
      expect(["431[]", undefined]).toContain(answer);
    }
    await unharmed();
  });

  test("an unknown Engine.IO packet type closes its sender", async () => {
    await expectClosed(await startGuarded(), ["7", "8abc", "9", "x", "", " 42", "\ud83d\ude00", "2"]);
  });

  test("an unknown Socket.IO packet type closes its sender", async () => {
    await expectClosed(await startGuarded(), [
      "47",
      "48[]",
      "49",
      '4x["a"]',
      "4-1",
      '44{"message":"forged"}',
      "4😀",
    ]);
  });

  test("an overlong ack id does no harm", async () => {
    const { server, unharmed } = await startGuarded();
    for (const id of ["9".repeat(20), "9".repeat(5000), "18446744073709551616", "00000000000000001"]) {
      const peer = await openWebSocket(server);
      peer.send(`43${id}["forged"]`);
      peer.send(`42${id}["barrier"]`);
      peer.send('421["barrier"]');
      await peer.next();
    }
    await unharmed();
  });

  test("invalid UTF-8 closes its sender", async () => {
    const { server, unharmed } = await startGuarded();
    for (const bytes of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
      const peer = await openWebSocket(server);
      peer.send(Buffer.from([...Buffer.from('42["x","'), ...bytes, ...Buffer.from('"]')]), { binary: false });
      expect(await peer.closeCode()).toBe(1007);
    }
    await unharmed();
  });

  test("garbage on the port does no harm", async () => {
    const { server, unharmed } = await startGuarded();
    const head = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n";
    const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (const garbage of [
      Buffer.from(Array.from({ length: 4096 }, (_, n) => (n * 7919) % 256)),
      "\r\n\r\n\r\n\0\0\0\0",
      "GET / SPDY/9\r\n\r\n",
      `${head}${upgrade}\r\n`,
      `${head}${upgrade}Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: x\r\n\r\n`,
      `${head}${upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n`,
      "POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
      "POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ]) {
      const connection = await openTcp(server);
      connection.write(garbage);
      connection.socket.end();
      await connection.ended();
    }
    const framing = await openTcpWebSocket(server);
    framing.write(Buffer.alloc(64, 0xff));
    await framing.ended();
    const unmasked = await openTcpWebSocket(server);
    unmasked.write(Buffer.from([0x81, 0x02, 0x34, 0x31]));
    await unmasked.ended();
    await unharmed();
  });

  test("a connection that sends nothing does no harm", async () => {
    const { server, unharmed } = await startGuarded();
    for (let n = 0; n < 20; n += 1) await openTcp(server);
    await unharmed();
  });

  test("a request that stops half way does no harm", async () => {
    const { server, unharmed } = await startGuarded();
    const session = await openPolling(server);
    for (const half of [
      "GET /socket.io/?EIO=4&transp",
      "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nX-Half",
      `POST ${session.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n42["half`,
    ]) {
      const connection = await openTcp(server);
      await new Promise((resolve) => connection.socket.write(half, resolve));
    }
    await unharmed();
  });

  test("a WebSocket handshake that stops half way does no harm", async () => {
    const { server, unharmed } = await startGuarded();
    const session = await openPolling(server);
    for (const query of ["", `&sid=${session.sid}`]) {
      const connection = await openTcp(server);
      connection.write(
        `GET /socket.io/?EIO=4&transport=websocket${query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnec`,
      );
    }
    const probing = await openWebSocket(server, { sid: session.sid });
    await session.post('421["barrier"]');
    expect(await session.packets()).toEqual(["431[]"]);
    probing.close();
    await unharmed();
  });

  test("a peer that vanishes without a word is timed out", async () => {
    const { server } = await startGuarded({ pingInterval: 100, pingTimeout: 200 });
    const peer = await openTcpWebSocket(server);
    const socket = await eventually(() => server.sockets.get(peer.id));
    const gone = once(socket, "disconnect");
    peer.stopReading();
    expect((await gone)[0]).toBe("ping timeout");
  });

  test("clients killed in the middle of traffic do no harm", async () => {
    const { server } = await startGuarded();
    const client = await server.connect();
    const heard = [];
    client.on("flood", (n) => heard.push(n));
    let sent = 0;
    let flooding = true;
    afterThisTest(() => {
      flooding = false;
    });
    const flood = (async () => {
      while (flooding) {
        server.io.emit("flood", sent, "x".repeat(1000));
        sent += 1;
        await new Promise(setImmediate);
      }
    })();
    for (let round = 0; round < 5; round += 1) {
      const victims = await Promise.all(Array.from({ length: 10 }, () => openTcpWebSocket(server)));
      for (const victim of victims) {
        victim.frame(1, '42["ev');
        victim.socket.resetAndDestroy();
      }
    }
    flooding = false;
    await flood;
    await barrier(client);
    expect(heard).toEqual(Array.from({ length: sent }, (_, n) => n));
    await eventually(async () => (await server.io.fetchSockets()).length === 3);
  });
});

ferrioOnly("the official server leaves the number of fragments to its WebSocket library", () => {
  test("a thousand fragments in one message are bounded", async () => {
    const { server, unharmed } = await startGuarded({ limits: { maxFragments: 100 } });
    const fine = await openTcpWebSocket(server);
    const packet = '421["barrier"]';
    for (const [n, byte] of [...packet].entries())
      fine.frame(n === 0 ? 1 : 0, byte, { fin: n === packet.length - 1 });
    await eventually(() => fine.messages().includes("431[]"));
    const peer = await openTcpWebSocket(server);
    for (let n = 0; n < 1000; n += 1) peer.frame(n === 0 ? 1 : 0, "x", { fin: false });
    await peer.ended();
    await unharmed();
  });
});
