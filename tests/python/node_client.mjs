// Drives the official JavaScript clients on behalf of pytest: commands come in on stdin and what happens goes out on stdout,
// one JSON text a line. Bytes travel as {"$bytes": base64}.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../node/package.json", import.meta.url));
const libraries = {
  4: require("socket.io-client"),
  2: require("socket.io-client-v2"),
};
const msgpack = require("socket.io-msgpack-parser");

const managers = new Map();
const sockets = new Map();

function pack(value) {
  if (value instanceof ArrayBuffer) {
    return { $bytes: Buffer.from(value).toString("base64") };
  }
  if (ArrayBuffer.isView(value)) {
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  }
  if (Array.isArray(value)) {
    return value.map(pack);
  }
  if (value !== null && typeof value === "object") {
    // fromEntries defines properties instead of assigning them, so that a key such as __proto__ stays a key.
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, pack(inner)]));
  }
  return value;
}

function unpack(value) {
  if (Array.isArray(value)) {
    return value.map(unpack);
  }
  if (value !== null && typeof value === "object") {
    if (typeof value.$bytes === "string") {
      return Buffer.from(value.$bytes, "base64");
    }
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, unpack(inner)]));
  }
  return value;
}

function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function describe(error) {
  return error instanceof Error ? { message: error.message, data: pack(error.data) } : { message: error };
}

function hearEverything(socket, version, hear) {
  if (version === 4) {
    socket.onAny(hear);
    return;
  }
  // The old client has no catch-all listener, so its entry point for events is taken over.
  socket.onevent = (packet) => {
    hear(...packet.data, ...(packet.id == null ? [] : [socket.ack(packet.id)]));
  };
}

function watch(client, socket, manager, version) {
  const say = (on, rest = {}) => tell({ client, on, ...rest });
  const transportName = () => manager.engine?.transport?.name ?? null;
  const answers = new Map();
  sockets.set(client, { socket, manager, answers, version });

  socket.on("connect", () => {
    const engine = manager.engine;
    say("connect", {
      sid: socket.id,
      engine: engine.id,
      transport: transportName(),
      recovered: socket.recovered ?? false,
    });
    if (!engine.watched) {
      engine.watched = true;
      const tellAll = (message) => {
        for (const [id, other] of sockets) {
          if (other.manager === manager) {
            tell({ client: id, ...message });
          }
        }
      };
      engine.on("upgrade", () => tellAll({ on: "upgrade", transport: transportName() }));
      // The new client hears the server's ping, the old one the server's pong.
      engine.on(version === 2 ? "pong" : "ping", () => tellAll({ on: "heartbeat" }));
    }
  });
  socket.on("disconnect", (reason) => say("disconnect", { reason }));
  // The old client reports a refusal of the namespace as "error", and manager trouble as "connect_error".
  socket.on("connect_error", (error) => say("connect_error", describe(error)));
  if (version === 2) {
    socket.on("error", (error) => say("connect_error", { message: "error", data: pack(error) }));
  }
  hearEverything(socket, version, (name, ...args) => {
    const ack = typeof args[args.length - 1] === "function" ? args.pop() : null;
    say("event", { name, args: pack(args), wantsAck: ack !== null });
    if (ack === null) {
      return;
    }
    const answer = answers.get(name);
    if (answer === undefined) {
      ack();
    } else if (answer.echo) {
      ack(...args);
    } else if (answer.args) {
      ack(...answer.args);
    }
  });
}

const commands = {
  connect({ client, manager: name, url, namespace, version = 4, options = {}, auths, parser }) {
    const { Manager } = libraries[version];
    let manager = managers.get(name);
    if (manager === undefined) {
      manager = new Manager(url, {
        reconnection: false,
        ...(parser === "msgpack" ? { parser: msgpack } : {}),
        ...options,
        autoConnect: false,
      });
      managers.set(name, manager);
    }
    const socketOptions = {};
    if (auths !== undefined) {
      const payloads = auths.slice();
      socketOptions.auth = (give) => give(payloads.length > 1 ? payloads.shift() : payloads[0]);
    } else if (options.auth !== undefined) {
      socketOptions.auth = unpack(options.auth);
    }
    if (version === 2) {
      socketOptions.query = options.namespaceQuery;
    }
    const socket = manager.socket(namespace, socketOptions);
    watch(client, socket, manager, version);
    socket.connect();
  },
  reconnect({ client }) {
    sockets.get(client).socket.connect();
  },
  emit({ client, event, args }) {
    sockets.get(client).socket.emit(event, ...unpack(args));
  },
  burst({ client, event, count }) {
    const { socket } = sockets.get(client);
    for (let idx = 0; idx < count; idx += 1) {
      socket.emit(event, idx);
    }
  },
  call({ client, event, args, call, timeout }) {
    const { socket } = sockets.get(client);
    if (timeout === null) {
      socket.emit(event, ...unpack(args), (...answer) => tell({ call, args: pack(answer) }));
      return;
    }
    socket.timeout(timeout).emit(event, ...unpack(args), (error, ...answer) => {
      tell(error ? { call, error: error.message } : { call, args: pack(answer) });
    });
  },
  answer({ client, event, args, echo, call }) {
    sockets.get(client).answers.set(event, { args: args && unpack(args), echo });
    tell({ call, args: [] });
  },
  disconnect({ client }) {
    sockets.get(client).socket.disconnect();
  },
  /** Cuts the connection under the client's feet, as a lost network does: nothing is said to the server. */
  cut({ client }) {
    const { engine } = sockets.get(client).manager;
    const { transport } = engine;
    if (transport.ws) {
      (transport.ws.terminate ?? transport.ws.close).call(transport.ws);
    } else {
      transport.onClose("cut by the test");
    }
  },
  /** Stops reading from and answering to the server while the connection stays open. */
  freeze({ client }) {
    sockets.get(client).manager.engine.transport.ws._socket.pause();
  },
  /** Makes the client believe that the server promised a ping within so many milliseconds. */
  expectPings({ client, milliseconds }) {
    const { engine } = sockets.get(client).manager;
    engine._pingInterval = milliseconds;
    engine._pingTimeout = 0;
    engine._resetPingTimeout();
  },
  /** Keeps an old client from pinging. */
  stopPinging({ client }) {
    const { engine } = sockets.get(client).manager;
    clearTimeout(engine.pingIntervalTimer);
    clearTimeout(engine.pingTimeoutTimer);
    engine.onHeartbeat = () => {};
    engine.ping = () => {};
  },
  close({ client }) {
    const { manager } = sockets.get(client);
    manager.reconnection(false);
    sockets.get(client).socket.disconnect();
    manager.engine?.close();
    sockets.delete(client);
    for (const [name, known] of managers) {
      if (known === manager) {
        managers.delete(name);
      }
    }
  },
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const { do: name, ...rest } = JSON.parse(line);
  try {
    commands[name](rest);
  } catch (error) {
    tell({ client: rest.client, call: rest.call, on: "fault", error: `${name}: ${error.stack}` });
  }
});
process.stdin.on("close", () => process.exit(0));
tell({ ready: true });
