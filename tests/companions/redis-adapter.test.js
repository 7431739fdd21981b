"use strict";

const { createAdapter } = require("@socket.io/redis-adapter");
const { describeCluster } = require("./support/cluster-scenarios");
const { isOfficial, MIXED } = require("./support/module");
const { startNodes } = require("./support/nodes");
const { closeConnection, startRedis } = require("./support/redis");

let server;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

/** An adapter on two connections of the client package of this name. */
const withClient = (name) => async () => {
  const connections = [await server.open[name](), await server.open[name]()];
  return {
    adapter: createAdapter(...connections, { requestsTimeout: 3000 }),
    release: () => Promise.all(connections.map(closeConnection)),
  };
};

describeCluster("a cluster by @socket.io/redis-adapter with redis", () => startNodes(withClient("redis")));
describeCluster("a cluster by @socket.io/redis-adapter with ioredis", () =>
  startNodes(withClient("ioredis")),
);
if (!isOfficial) {
  describeCluster("a cluster of both servers by @socket.io/redis-adapter", () =>
    startNodes(withClient("redis"), { modules: MIXED }),
  );
}
