"use strict";

const { createAdapter } = require("@socket.io/redis-streams-adapter");
const { describeCluster } = require("./support/cluster-scenarios");
const { isOfficial, MIXED } = require("./support/module");
const { startNodes } = require("./support/nodes");
const { closeConnection, startRedis } = require("./support/redis");

let server;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

/** An adapter on a connection of the client package of this name. */
const withClient = (name) => async () => {
  const connection = await server.open[name]();
  return {
    adapter: createAdapter(connection, { blockTimeInMs: 200 }),
    release: () => closeConnection(connection),
  };
};

describeCluster("a cluster by @socket.io/redis-streams-adapter with redis", () =>
  startNodes(withClient("redis")),
);
describeCluster("a cluster by @socket.io/redis-streams-adapter with ioredis", () =>
  startNodes(withClient("ioredis")),
);
if (!isOfficial) {
  describeCluster("a cluster of both servers by @socket.io/redis-streams-adapter", () =>
    startNodes(withClient("redis"), { modules: MIXED }),
  );
}
