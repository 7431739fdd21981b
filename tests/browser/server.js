// The chat servers, as processes of their own: started, killed as a crash would, and started again on the same port.

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const path = require("node:path");
const readline = require("node:readline");

const root = path.resolve(__dirname, "../..");

/** The official servers run the same scenarios when CHAT_OFFICIAL=1: what fails there is the test's fault. */
const official = process.env.CHAT_OFFICIAL === "1";

const express = (port) => ({
  command: process.execPath,
  args: ["examples/chat-express/server.mjs"],
  env: { PORT: String(port), HOST: "127.0.0.1", ...(official && { CHAT_MODULE: "socket.io" }) },
});

const fastapi = (module) => (port) => ({
  command: path.join(root, ".venv/bin/python"),
  args: [
    "-m",
    module,
    "app:app",
    "--app-dir",
    "examples/chat-fastapi",
    "--host",
    "127.0.0.1",
    "--port",
    `${port}`,
  ],
  env: official ? { CHAT_MODULE: "socketio" } : {},
});

// On plain uvicorn every message passes through ASGI; `python -m ferrio` is uvicorn with the connections handed over.
const servers = {
  "the chat on Express": express,
  "the chat on FastAPI": fastapi(official ? "uvicorn" : "ferrio"),
  ...(!official && { "the chat on FastAPI and plain uvicorn": fastapi("uvicorn") }),
};

/** Of "changeit". */
const ADMIN_HASH = "$2b$04$xFDA.aJoY8QG8T.R8BNCWebbXBNAHyV7IcvnWoBsjsGRVb5xzyZ/e";

/** Servers for the admin UI, each with a room `lobby`. */
const adminServers = {
  "the admin UI on Node": () => ({
    command: process.execPath,
    args: ["tests/browser/admin-server.mjs"],
    env: { ADMIN_HASH },
  }),
  "the admin UI on Python": () => ({
    command: path.join(root, ".venv/bin/python"),
    args: ["tests/browser/admin_server.py"],
    env: { ADMIN_HASH },
  }),
};

class ChatServer {
  constructor(name) {
    this.name = name;
    this.port = 0;
  }

  /** Starts the server and returns once it has printed where it listens. */
  async start() {
    const { command, args, env } = { ...servers, ...adminServers }[this.name](this.port);
    this.process = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.output = "";
    this.port = await this.#announcedPort();
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Ends the process without giving it a chance to close a connection. */
  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await ended;
  }

  #announcedPort() {
    return new Promise((resolve, reject) => {
      const read = (line) => {
        this.output += `${line}\n`;
        const address = /http:\/\/(?:localhost|127\.0\.0\.1):(\d+)/.exec(line);
        if (address) resolve(Number(address[1]));
      };
      readline.createInterface({ input: this.process.stdout }).on("line", read);
      readline.createInterface({ input: this.process.stderr }).on("line", read);
      this.process.on("error", reject);
      this.process.on("exit", () =>
        reject(new Error(`${this.name} ended before it listened:\n${this.output}`)),
      );
    });
  }
}

module.exports = {
  ChatServer,
  official,
  root,
  serverNames: Object.keys(servers),
  adminNames: Object.keys(adminServers),
};
