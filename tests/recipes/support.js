// Starts a recipe as a reader would, and connects to it with the official client.

const { execFile, spawn } = require("node:child_process");
const { once } = require("node:events");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");
const { promisify } = require("node:util");
const { io } = require("socket.io-client");

const folder = path.resolve(__dirname, "../../examples/recipes");

const cleanups = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Starts a recipe on a free port; returns its address. */
async function start(file, env = {}) {
  const runner = file.endsWith(".ts") ? ["--import", "tsx"] : [];
  const child = spawn(process.execPath, [...runner, file], {
    cwd: folder,
    env: { ...process.env, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const ended = once(child, "exit");
  cleanups.push(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const lines = readline.createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, "line").then(([line]) => line), ended]);
  if (typeof first !== "string") throw new Error(`${file} ended before it listened:\n${said}`);
  const url = first.replace("[::1]", "127.0.0.1").replace("localhost", "127.0.0.1");
  programs.set(url, { child, ended });
  return url;
}

/** The programs that run, by their addresses. */
const programs = new Map();

/** Tells a program to end; returns its exit code. */
async function end(url, signal) {
  const { child, ended } = programs.get(url);
  child.kill(signal);
  const [code] = await ended;
  return code;
}

/** Starts a Redis server that keeps nothing; returns its address. */
async function startRedis() {
  const port = await freePort();
  const keepNothing = ["--save", "", "--appendonly", "no", "--dir", os.tmpdir()];
  const child = spawn("redis-server", ["--bind", "127.0.0.1", "--port", String(port), ...keepNothing], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  cleanups.push(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  for await (const line of readline.createInterface({ input: child.stdout })) {
    if (/ready to accept connections/i.test(line)) return `redis://127.0.0.1:${port}`;
  }
  throw new Error("redis-server ended before it was ready");
}

async function freePort() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** A client that is closed after the test. */
function client(url, options) {
  const socket = io(url, { reconnection: false, forceNew: true, ...options });
  const heard = [];
  unread.set(socket, heard);
  socket.onAny((...event) => {
    heard.push(event);
    socket.io.emit("heard");
  });
  cleanups.push(async () => {
    const { engine } = socket.io;
    socket.close();
    // Over long-polling the close packet is a request of its own.
    if (engine?.readyState === "closing") await new Promise((resolve) => engine.once("close", resolve));
  });
  return socket;
}

/** What each client has heard and no test has asked for yet, by client. */
const unread = new WeakMap();

/** The arguments of the next event of this name, which may have come already. */
async function next(socket, event) {
  const events = unread.get(socket);
  for (;;) {
    const index = events.findIndex(([name]) => name === event);
    if (index !== -1) return events.splice(index, 1)[0].slice(1);
    await new Promise((resolve) => socket.io.once("heard", resolve));
  }
}

/** The arguments of the next event that the client itself emits: `disconnect` or `connect_error`. */
function told(socket, event) {
  return new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
}

/** A client that is connected. */
async function connected(url, options) {
  const socket = client(url, options);
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
  return socket;
}

/** What one of the programs beside the tests prints. */
async function program(name, ...args) {
  const file = path.join(__dirname, "programs", name);
  const { stdout } = await promisify(execFile)(process.execPath, [file, ...args.map(String)]);
  return stdout;
}

module.exports = { client, connected, end, next, program, start, startRedis, told };
