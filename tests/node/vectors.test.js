"use strict";

const fs = require("node:fs");
const path = require("node:path");
const msgpack = require("socket.io-msgpack-parser");
const { RawWebSocket, ferrioOnly, once, openPolling, openWebSocket, startServer } = require("./support");

const FOLDER = path.join(__dirname, "..", "vectors");

/** The kinds of Socket.IO packets. */
const CONNECT = 0;
const DISCONNECT = 1;
const EVENT = 2;
const ACK = 3;
const CONNECT_ERROR = 4;
const BINARY_EVENT = 5;
const BINARY_ACK = 6;

const FILES = {
  engine_packets: enginePacket,
  payloads: payload,
  socket_packets: textPacket,
  msgpack_packets: binaryPacket,
};

/** Without attachments in MessagePack there is no bound on their number. */
const UNBOUNDED = "one attachment too many";

function cases(file) {
  return JSON.parse(fs.readFileSync(path.join(FOLDER, `${file}.json`), "utf8"));
}

function wireOf(vector) {
  return vector.hex === undefined ? vector.text : Buffer.from(vector.hex, "hex");
}

/** The value with the attachments in their places, which is what the application sees. */
function filled(value, attachments) {
  if (Array.isArray(value)) return value.map((element) => filled(element, attachments));
  if (value === null || typeof value !== "object") return value;
  if (value._placeholder === true && attachments.length > 0) return attachments[value.num];
  // Not `fromEntries` alone: a key called `__proto__` is data, too.
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, filled(member, attachments)]));
}

/** One form of Socket.IO packets, on a connection that the test opened. */
class TextForm {
  constructor(vector) {
    this.protocol = vector.revision === 4 ? 3 : 4;
    this.options = { allowEIO3: true };
    const { packet = {} } = vector;
    this.attachments = Array.from({ length: packet.attachments ?? 0 }, (_, n) => Buffer.from([n, 255]));
    this.frames = [`4${vector.text}`, ...this.attachments.map((bytes) => this.binary(bytes))];
    this.connect = (nsp) => (nsp === "/" ? "40" : `40${nsp},`);
    this.question = (nsp, id) => `42${nsp === "/" ? "" : `${nsp},`}${id}["ask"]`;
  }

  /** A binary message; the older protocol writes its type in front. */
  binary(bytes) {
    return this.protocol === 4 ? bytes : Buffer.concat([Buffer.from([4]), bytes]);
  }

  /** The type, the namespace and the id of a packet from the server. */
  read(frame) {
    const [, type, , nsp, id] = /^4(\d)(\d+-)?(\/[^,]*,)?(\d*)/.exec(frame);
    return { type: Number(type), nsp: nsp?.slice(0, -1) ?? "/", id: id === "" ? undefined : Number(id) };
  }
}

class MsgpackForm {
  constructor(vector) {
    this.protocol = 4;
    this.options = { parser: msgpack };
    this.attachments = (vector.packet?.attachments ?? []).map((hex) => Buffer.from(hex, "hex"));
    this.frames = [wireOf(vector)];
    const encode = (packet) => new msgpack.Encoder().encode(packet)[0];
    this.connect = (nsp) => encode({ type: CONNECT, nsp });
    this.question = (nsp, id) => encode({ type: EVENT, nsp, id, data: ["ask"] });
  }

  read(frame) {
    let packet;
    new msgpack.Decoder().on("decoded", (decoded) => (packet = decoded)).add(frame);
    return packet;
  }
}

/** A server with the namespaces of the vectors, and a WebSocket that speaks the form. */
async function meet(form, nsp) {
  const server = await startServer(form.options);
  const namespace = server.io.of(nsp);
  const peer = await openWebSocket(server, { join: false, protocol: form.protocol });
  // The main namespace is joined unasked in the older protocol.
  if (form.protocol === 3) await peer.next();
  const join = async () => {
    const connected = nsp === "/" && form.protocol === 3 ? undefined : once(namespace, "connection");
    if (connected) {
      peer.send(form.connect(nsp));
      await peer.next();
    }
    return connected ? (await connected)[0] : [...namespace.sockets.values()][0];
  };
  const send = () => form.frames.forEach((frame) => peer.send(frame));
  return { server, namespace, peer, join, send };
}

/** Whether the server can be brought to send this very packet: it numbers its own questions. */
function isEmitted(vector, data, attachments) {
  if (vector.one_way || vector.packet.id !== undefined) return false;
  // A packet whose attachments are not all in their places is not one that an encoder makes.
  const placed = JSON.stringify(data).match(/\{"_placeholder":true,"num":\d+\}/g) ?? [];
  return attachments.length === 0 || placed.length === attachments.length;
}

async function expectFrames(peer, frames) {
  for (const frame of frames) expect(await peer.next()).toStrictEqual(frame);
}

/** What a packet does at the server, and that the server writes it the same way. */
async function packet(vector, form) {
  const { type, nsp = "/", query, id, data_text: text } = vector.packet ?? {};
  const { namespace, peer, join, send } = await meet(form, nsp);
  if (vector.error !== undefined) {
    // A second CONNECT would be refused whatever is in it.
    const socket = !vector.text?.startsWith("0") && form.protocol === 4 ? await join() : undefined;
    if (vector.name === UNBOUNDED && form instanceof MsgpackForm) {
      const heard = new Promise((resolve) => socket.onAny((...args) => resolve(args)));
      send();
      expect(await heard).toHaveLength(12);
      return;
    }
    send();
    expect(await peer.next()).toBeUndefined();
    return;
  }
  const raw = text === undefined ? vector.packet.data : JSON.parse(text);
  const data = filled(raw, form.attachments);
  switch (type) {
    case CONNECT: {
      if (form.protocol === 3 && nsp === "/") {
        expect(namespace.sockets.size).toBe(1);
        return;
      }
      const connected = once(namespace, "connection");
      send();
      const [socket] = await connected;
      expect(form.read(await peer.next())).toMatchObject({ type: CONNECT, nsp });
      // The query of the older protocol stands for the payload.
      const auth = query === undefined ? data : Object.fromEntries(new URLSearchParams(query));
      expect(socket.handshake.auth).toEqual(auth ?? {});
      return;
    }
    case DISCONNECT: {
      const gone = once(await join(), "disconnect");
      send();
      expect((await gone)[0]).toBe("client namespace disconnect");
      const again = await meet(form, nsp);
      (await again.join()).disconnect();
      await expectFrames(again.peer, form.frames);
      return;
    }
    case EVENT:
    case BINARY_EVENT: {
      const socket = await join();
      const heard = new Promise((resolve) => socket.onAny((...args) => resolve(args)));
      send();
      const args = await heard;
      if (id !== undefined) {
        args.pop()();
        expect(form.read(await peer.next())).toMatchObject({ type: ACK, nsp, id });
      }
      expect(args).toEqual(data);
      if (isEmitted(vector, raw, form.attachments)) {
        socket.emit(...data);
        await expectFrames(peer, form.frames);
      }
      return;
    }
    case ACK:
    case BINARY_ACK: {
      const socket = await join();
      const answered = await new Promise((resolve) => {
        const ask = async () => {
          socket.emit("question", (...args) => resolve(args));
          if (form.read(await peer.next()).id === id) send();
          else await ask();
        };
        ask();
      });
      expect(answered).toEqual(data);
      socket.on("ask", (reply) => reply(...data));
      peer.send(form.question(nsp, id));
      await expectFrames(peer, form.frames);
      return;
    }
    case CONNECT_ERROR: {
      // Only servers send it, and only some of what the older revision allows.
      const message = data?.message ?? data;
      if (vector.one_way || (form.protocol === 4 && message === data)) return;
      const refusing = await startServer(form.options);
      refusing.io.of(nsp).use((_socket, next) => next(new Error(message)));
      const refused = await openWebSocket(refusing, { join: false, protocol: form.protocol });
      if (form.protocol === 4) refused.send(form.connect(nsp));
      await expectFrames(refused, form.frames);
      return;
    }
    default:
      throw new Error(`no way to try type ${type}`);
  }
}

function textPacket(vector) {
  return packet(vector, new TextForm(vector));
}

function binaryPacket(vector) {
  return packet(vector, new MsgpackForm(vector));
}

/** Sees that the session goes on: the server answers in order. */
async function expectAlive(peer) {
  peer.send('4299["barrier"]');
  expect(await peer.next()).toBe("4399[]");
}

async function enginePacket(vector) {
  const server = await startServer({ allowEIO3: true });
  const { protocol, packet: decoded, error } = vector;
  const wire = wireOf(vector);
  if (decoded?.text === "probe") {
    const session = await openPolling(server, { protocol, join: false });
    const peer = await openWebSocket(server, { protocol, sid: session.sid });
    peer.send("2probe");
    expect(await peer.next()).toBe("3probe");
    return;
  }
  const peer = await openWebSocket(server, { protocol });
  const [socket] = server.sockets.values();
  if (decoded?.hex !== undefined) {
    const bytes = Buffer.from(decoded.hex, "hex");
    const heard = once(socket, "bytes");
    peer.send('451-["bytes",{"_placeholder":true,"num":0}]');
    peer.send(wire);
    expect((await heard)[0]).toStrictEqual(bytes);
    if (typeof wire !== "string") {
      socket.emit("bytes", bytes);
      await expectFrames(peer, ['451-["bytes",{"_placeholder":true,"num":0}]', wire]);
    }
    return;
  }
  peer.send(wire);
  const isPing = decoded?.type === "ping";
  // Text that is no Socket.IO packet, and a ping that only the server may send, end the connection, too.
  if (error || ["close", "message"].includes(decoded.type) || (isPing && protocol === 4)) {
    expect(await peer.next()).toBeUndefined();
    return;
  }
  if (isPing) expect(await peer.next({ pings: true })).toBe("3");
  await expectAlive(peer);
}

async function payload(vector) {
  const server = await startServer({ allowEIO3: true });
  const { protocol, error, packets } = vector;
  const session = await openPolling(server, { protocol, join: false });
  const type = vector.is_binary ? "application/octet-stream" : "text/plain;charset=UTF-8";
  const answer = await session.post(wireOf(vector), { headers: { "content-type": type } });
  // The first message is no Socket.IO packet and ends the session; before that, the whole body was taken or refused.
  if (packets.length === 0 || error === undefined)
    expect(answer.status).toBe(error === undefined ? 200 : 400);
  const isOver = error !== undefined || packets.some(({ type: kind }) => ["close", "message"].includes(kind));
  const socketless = new RawWebSocket(
    `${server.url.replace("http", "ws")}/socket.io/?EIO=${protocol}&transport=websocket&sid=${session.sid}`,
  );
  const isRefused = await socketless.opened.then(
    () => false,
    () => true,
  );
  expect(isRefused).toBe(isOver);
}

ferrioOnly("the official server closes later for what it refuses, or takes it", () => {
  for (const [file, check] of Object.entries(FILES)) {
    describe(`vectors of ${file}`, () => {
      test.each(cases(file).map((vector) => [vector.name, vector]))("%s", (_name, vector) => check(vector));
    });
  }
});

test("every file of vectors is read", () => {
  const files = fs.readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
  expect(files.sort()).toEqual(
    Object.keys(FILES)
      .map((name) => `${name}.json`)
      .sort(),
  );
});
