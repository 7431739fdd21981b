"use strict";

const { createAdapter } = require("@socket.io/postgres-adapter");
const { describeCluster } = require("./support/cluster-scenarios");
const { isOfficial, MIXED } = require("./support/module");
const { startNodes } = require("./support/nodes");
const { startPostgres } = require("./support/postgres");

let server;
beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(() => server.stop());

/** An adapter on a pool of connections. */
const onPool = async () => {
  const pool = server.pool();
  return { adapter: createAdapter(pool), release: () => pool.end() };
};

/** Each message takes whichever connection is free. */
const options = { keepsOrder: false };

describeCluster("a cluster by @socket.io/postgres-adapter", () => startNodes(onPool), options);
if (!isOfficial) {
  describeCluster(
    "a cluster of both servers by @socket.io/postgres-adapter",
    () => startNodes(onPool, { modules: MIXED }),
    options,
  );
}
