"use strict";

/** Bare TCP connections, and a WebSocket whose frames and reading are in the test's hands. */

const net = require("node:net");
const { afterThisTest } = require("./cleanup");
const { eventually, within } = require("./wait");

const TEXT = 1;
const MASK = Buffer.from([1, 2, 3, 4]);

/** A TCP connection to the server that keeps what it receives. */
class TcpConnection {
  constructor(server) {
    this.socket = net.connect(server.port, "127.0.0.1");
    this.received = Buffer.alloc(0);
    this.socket.on("error", () => {});
    this.socket.on("data", (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    this.closed = new Promise((resolve) => this.socket.once("close", resolve));
    afterThisTest(() => this.socket.destroy());
  }

  write(data) {
    this.socket.write(data);
  }

  /** Waits until the server has closed the connection. */
  ended() {
    return within(this.closed, "the server to close the TCP connection");
  }
}

/** A WebSocket session on a TCP connection, joined to the main namespace. */
class TcpWebSocket extends TcpConnection {
  async join() {
    this.write(
      "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    const head = await eventually(() => this.received.indexOf("\r\n\r\n") + 1);
    this.received = this.received.subarray(head + 3);
    this.frame(TEXT, "40");
    const joined = await eventually(() => this.messages().find((message) => message.startsWith("40")));
    this.id = JSON.parse(joined.slice(2)).sid;
    return this;
  }

  /** Sends one frame, masked as a client must. */
  frame(opcode, payload, { fin = true } = {}) {
    this.write(masked(opcode, payload, fin));
  }

  /** Sends many text messages in one write. */
  frames(messages) {
    this.write(Buffer.concat(messages.map((message) => masked(TEXT, message, true))));
  }

  /** Stops reading for good measure: the kernel's buffers fill, and then the server's. */
  stopReading() {
    this.socket.pause();
  }

  readAgain() {
    this.socket.resume();
  }

  /** The text messages that arrived whole so far. */
  messages() {
    const messages = [];
    let rest = this.received;
    while (rest.length >= 2) {
      let length = rest[1] & 0x7f;
      let start = 2;
      if (length === 126) {
        if (rest.length < 4) break;
        length = rest.readUInt16BE(2);
        start = 4;
      } else if (length === 127) {
        if (rest.length < 10) break;
        length = Number(rest.readBigUInt64BE(2));
        start = 10;
      }
      if (rest.length < start + length) break;
      if ((rest[0] & 0x0f) === TEXT) messages.push(rest.toString("utf8", start, start + length));
      rest = rest.subarray(start + length);
    }
    return messages;
  }
}

function masked(opcode, payload, fin) {
  const body = Buffer.from(payload);
  if (body.length > 125) throw new Error("only short frames are needed here");
  const head = Buffer.from([(fin ? 0x80 : 0) | opcode, 0x80 | body.length]);
  return Buffer.concat([head, MASK, body.map((byte, n) => byte ^ MASK[n % 4])]);
}

/** Opens a bare TCP connection to the server. */
async function openTcp(server) {
  const connection = new TcpConnection(server);
  await within(new Promise((resolve) => connection.socket.once("connect", resolve)), "the TCP connection");
  return connection;
}

/** Opens a WebSocket session by hand and joins the main namespace. */
function openTcpWebSocket(server) {
  return new TcpWebSocket(server).join();
}

module.exports = { openTcp, openTcpWebSocket };
