// What a server like `server.mjs` answers the official client by every transport. As a program it prints the answers of
// the servers at the addresses on its command line.

const { once } = require("node:events");
const { io: connect } = require("socket.io-client");

const DEADLINE_MS = 10_000;
const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

/** Echoes with text and bytes, and what one client's message to a room is for another, for each transport. */
async function answers(url) {
  const seen = {};
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    const [first, second] = await Promise.all([open(url, transports), open(url, transports)]);
    if (name === "upgrade") await Promise.all([upgraded(first), upgraded(second)]);
    const [text, blob] = await first.timeout(DEADLINE_MS).emitWithAck("echo", "grüße", Buffer.from([0, 255]));
    await first.timeout(DEADLINE_MS).emitWithAck("join", "room");
    const said = once(first, "said", { signal: AbortSignal.timeout(DEADLINE_MS) });
    second.emit("say", "room", "hello");
    seen[name] = [text, [...blob], ...(await said)];
    first.close();
    second.close();
  }
  return seen;
}

function open(url, transports) {
  const client = connect(url, { transports, forceNew: true, reconnection: false });
  return new Promise((resolve, reject) => {
    client.once("connect", () => resolve(client));
    client.once("connect_error", reject);
  });
}

async function upgraded({ io: { engine } }) {
  if (engine.transport.name !== "websocket") {
    await once(engine, "upgrade", { signal: AbortSignal.timeout(DEADLINE_MS) });
  }
}

async function main(urls) {
  const seen = {};
  for (const url of urls) {
    const file = await fetch(`${url}/socket.io/socket.io.js`);
    const script = file.ok && (await file.text()).includes("Socket.IO");
    seen[url] = { answers: await answers(url), script };
  }
  console.log(JSON.stringify(seen));
}

module.exports = { answers };
if (require.main === module) main(process.argv.slice(2));
