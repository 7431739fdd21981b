// Drives engine.io-client on behalf of pytest, as node_client.mjs drives socket.io-client: commands come in on stdin and what
// happens goes out on stdout, one JSON text a line. Bytes travel as {"$bytes": base64}.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../node/package.json", import.meta.url));
const requireOld = createRequire(require.resolve("socket.io-client-v2"));
const open = {
  4: (url, options) => new (require("engine.io-client").Socket)(url, options),
  3: (url, options) => requireOld("engine.io-client")(url, options),
};

const sockets = new Map();

function pack(data) {
  if (data instanceof ArrayBuffer) {
    return { $bytes: Buffer.from(data).toString("base64") };
  }
  // An empty message is undefined to the client.
  return ArrayBuffer.isView(data) ? { $bytes: Buffer.from(data).toString("base64") } : (data ?? "");
}

function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

const commands = {
  open({ client, url, protocol, options }) {
    const socket = open[protocol](url, options);
    const say = (on, rest = {}) => tell({ client, on, ...rest });
    sockets.set(client, socket);
    socket.on("open", () => say("open", { sid: socket.id, transport: socket.transport.name }));
    socket.on("message", (data) => say("message", { data: pack(data) }));
    socket.on("upgrade", (transport) => say("upgrade", { transport: transport.name }));
    socket.on("close", (reason) => say("close", { reason }));
    socket.on("error", (error) => say("error", { message: error.message }));
    // The new client hears the server's ping, the old one the server's pong.
    socket.on(protocol === 4 ? "ping" : "pong", () => say("heartbeat"));
  },
  send({ client, data }) {
    sockets.get(client).send(data?.$bytes === undefined ? data : Buffer.from(data.$bytes, "base64"));
  },
  close({ client }) {
    sockets.get(client)?.close();
  },
  cut({ client }) {
    sockets.get(client).transport.ws.terminate();
  },
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const { do: name, ...rest } = JSON.parse(line);
  try {
    commands[name](rest);
  } catch (error) {
    tell({ client: rest.client, on: "fault", error: `${name}: ${error.stack}` });
  }
});
process.stdin.on("close", () => process.exit(0));
tell({ ready: true });
