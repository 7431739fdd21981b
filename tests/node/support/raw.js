"use strict";

/** Speaks the protocol by hand: HTTP requests, polling sessions and bare WebSockets. */

const http = require("node:http");
const { WebSocket } = require("ws");
const { afterThisTest } = require("./cleanup");
const { within } = require("./wait");

const SEPARATOR = "\x1e";

/** One HTTP request on a connection of its own. Resolves with status, headers and body (a Buffer) and its text. */
function request(server, path, { method = "GET", headers = {}, body } = {}) {
  const answer = new Promise((resolve, reject) => {
    const sent = http.request(server.url + path, { method, headers, agent: false }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const whole = Buffer.concat(chunks);
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: whole,
          text: whole.toString(),
        });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
  return within(answer, `the answer to ${method} ${path}`);
}

/** A long-polling session. */
class PollingSession {
  constructor(server, { protocol = 4, path = "/socket.io/" } = {}) {
    this.server = server;
    this.base = `${path}?EIO=${protocol}&transport=polling`;
    this.protocol = protocol;
  }

  /** Opens the session; `handshake` is then what the server announced. */
  async open(query = "", options = {}) {
    const answer = await request(this.server, this.base + query, options);
    if (answer.status !== 200) throw new Error(`handshake refused: ${answer.status} ${answer.text}`);
    const text = this.protocol === 4 ? answer.text : answer.text.slice(answer.text.indexOf(":") + 1);
    this.handshake = JSON.parse(text.slice(1, text.lastIndexOf("}") + 1));
    this.sid = this.handshake.sid;
    return answer;
  }

  get path() {
    return `${this.base}&sid=${this.sid}`;
  }

  poll(options = {}) {
    return request(this.server, this.path, options);
  }

  /** A poll that waits at the server, as `answer`: what was asked for behind it has been answered meanwhile. */
  async startPoll() {
    const answer = this.poll();
    for (let n = 0; n < 3; n += 1) await request(this.server, `${this.base}&sid=unknown`);
    return { answer };
  }

  post(body, options = {}) {
    return request(this.server, this.path, { method: "POST", body, ...options });
  }

  /** The next packets, pings answered and left out. */
  async packets() {
    for (;;) {
      const answer = await this.poll();
      if (answer.status !== 200) throw new Error(`poll refused: ${answer.status} ${answer.text}`);
      const packets = answer.text.split(SEPARATOR);
      if (packets.includes("2")) await this.post("3");
      const rest = packets.filter((packet) => packet !== "2");
      if (rest.length > 0) return rest;
    }
  }
}

/** Opens a long-polling session and, unless `join` is false, joins the main namespace. */
async function openPolling(server, { join = true, query = "", ...options } = {}) {
  const session = new PollingSession(server, options);
  await session.open(query);
  if (join) {
    await session.post("40");
    await session.packets();
  }
  return session;
}

/** A bare WebSocket whose messages wait to be read. */
class RawWebSocket {
  constructor(url, options) {
    this.socket = new WebSocket(url, options);
    this.waiting = [];
    this.readers = [];
    this.opened = new Promise((resolve, reject) => {
      this.socket.once("open", resolve);
      this.socket.once("error", reject);
    });
    // The one who awaits `opened` sees the failure; nobody has to.
    this.opened.catch(() => {});
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) =>
      this.socket.once("close", (code, reason) => resolve({ code, reason })),
    );
    this.socket.on("message", (data, isBinary) => this.push(isBinary ? data : data.toString()));
    this.socket.once("close", () => this.push(undefined));
    afterThisTest(() => this.socket.terminate());
  }

  push(message) {
    const reader = this.readers.shift();
    if (reader) reader(message);
    else this.waiting.push(message);
  }

  /** The next message; undefined when the connection is closed. Pings are answered and left out. */
  async next({ pings = false } = {}) {
    for (;;) {
      const message =
        this.waiting.length > 0
          ? this.waiting.shift()
          : await within(new Promise((resolve) => this.readers.push(resolve)), "a WebSocket message");
      if (message !== "2" || pings) return message;
      this.send("3");
    }
  }

  send(data, options) {
    this.socket.send(data, options);
  }

  /** Waits for the close and returns its code. */
  async closeCode() {
    return (await within(this.closed, "the WebSocket to close")).code;
  }

  close() {
    this.socket.close();
  }
}

/** Opens a bare WebSocket session and, unless `join` is false, joins the main namespace. */
async function openWebSocket(
  server,
  { join = true, protocol = 4, sid, query = "", path = "/socket.io/", options } = {},
) {
  const url = `${server.url.replace("http", "ws")}${path}?EIO=${protocol}&transport=websocket${sid ? `&sid=${sid}` : ""}${query}`;
  const socket = new RawWebSocket(url, options);
  await within(socket.opened, "the WebSocket to open");
  if (sid) return socket;
  socket.handshake = JSON.parse((await socket.next()).slice(1));
  if (join && protocol === 4) socket.send("40");
  if (join) {
    const answer = await socket.next();
    if (!answer.startsWith("40")) throw new Error(`not joined: ${answer}`);
  }
  return socket;
}

/** The status of the answer to a WebSocket handshake that is refused. */
function refusedWebSocket(server, path) {
  const socket = new WebSocket(server.url.replace("http", "ws") + path);
  const outcome = new Promise((resolve, reject) => {
    socket.once("open", () => reject(new Error("the WebSocket was accepted")));
    socket.on("error", reject);
    socket.once("unexpected-response", (_sent, response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString() }),
      );
    });
  });
  return within(outcome, "the refusal").finally(() => socket.terminate());
}

module.exports = {
  SEPARATOR,
  PollingSession,
  RawWebSocket,
  openPolling,
  openWebSocket,
  refusedWebSocket,
  request,
};
