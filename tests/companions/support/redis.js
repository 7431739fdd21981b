"use strict";

/** Real Redis servers, alone and as a cluster, and connections to them with both of Node's client packages. */

const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const ioredis = require("ioredis");
const redis = require("redis");
const { eventually } = require("../../node/support/wait");
const { freePorts, makeFolder, startProgram } = require("./processes");

const READY = /ready to accept connections/i;
const IN_MEMORY = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];

/** A Redis server on a Unix socket in a folder. `open[package]()` makes a connection. */
async function startRedis({ folder = makeFolder() } = {}) {
  const socket = path.join(folder, "redis.sock");
  const stop = await startProgram(
    "redis-server",
    [...IN_MEMORY, "--port", "0", "--unixsocket", socket, "--dir", folder],
    READY,
  );
  return {
    open: {
      redis: () => connect(redis.createClient({ socket: { path: socket } })),
      ioredis: async () => quiet(new ioredis.Redis(socket)),
    },
    stop: async ({ keepFolder = false } = {}) => {
      await stop();
      if (!keepFolder) fs.rmSync(folder, { recursive: true });
    },
  };
}

/** A cluster of three masters. */
async function startRedisCluster() {
  const folder = makeFolder();
  const ports = await freePorts(6);
  const masters = ports.slice(0, 3);
  const stops = await Promise.all(
    masters.map((port, n) => {
      const own = path.join(folder, String(n));
      fs.mkdirSync(own);
      const cluster = ["--cluster-enabled", "yes", "--cluster-port", String(ports[3 + n])];
      return startProgram(
        "redis-server",
        [...IN_MEMORY, "--port", String(port), "--dir", own, ...cluster],
        READY,
      );
    }),
  );
  const addresses = masters.map((port) => `127.0.0.1:${port}`);
  execFileSync("redis-cli", ["--cluster", "create", ...addresses, "--cluster-yes"], { stdio: "pipe" });
  await eventually(() =>
    masters.every((port) =>
      execFileSync("redis-cli", ["-p", String(port), "cluster", "info"]).includes("cluster_state:ok"),
    ),
  );
  const rootNodes = masters.map((port) => ({ url: `redis://127.0.0.1:${port}` }));
  return {
    open: {
      redis: () => connect(redis.createCluster({ rootNodes })),
      ioredis: async () =>
        quiet(
          new ioredis.Cluster(
            masters.map((port) => ({ host: "127.0.0.1", port })),
            { shardedSubscribers: true },
          ),
        ),
    },
    stop: async () => {
      await Promise.all(stops.map((stop) => stop()));
      fs.rmSync(folder, { recursive: true });
    },
  };
}

async function connect(client) {
  await quiet(client).connect();
  return client;
}

/** A connection that ends with its server is no failure. */
function quiet(client) {
  client.on("error", () => {});
  return client;
}

/** Closes a connection of either package when what it was asked for is done. */
async function closeConnection(client) {
  if (typeof client.close === "function") await client.close();
  else await client.quit();
}

module.exports = { startRedis, startRedisCluster, closeConnection };
