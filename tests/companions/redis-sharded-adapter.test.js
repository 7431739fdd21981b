"use strict";

const { createShardedAdapter } = require("@socket.io/redis-adapter");
const { describeCluster } = require("./support/cluster-scenarios");
const { isOfficial, MIXED } = require("./support/module");
const { startNodes } = require("./support/nodes");
const { closeConnection, startRedis, startRedisCluster } = require("./support/redis");

const SERVERS = { "one Redis": startRedis, "a Redis Cluster": startRedisCluster };

describe.each(Object.entries(SERVERS))("on %s", (_name, startServer) => {
  let server;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.stop());

  /** An adapter on two connections of the client package of this name. */
  const withClient = (name, options) => async () => {
    const connections = [await server.open[name](), await server.open[name]()];
    return {
      adapter: createShardedAdapter(...connections, options),
      release: () => Promise.all(connections.map(closeConnection)),
    };
  };

  describeCluster("a cluster by the sharded adapter with redis", () => startNodes(withClient("redis")));
  describeCluster("a cluster by the sharded adapter with ioredis", () => startNodes(withClient("ioredis")));
});

describe("on one Redis", () => {
  let server;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());

  const withMode = (subscriptionMode) => async () => {
    const connections = [await server.open.redis(), await server.open.redis()];
    return {
      adapter: createShardedAdapter(...connections, { subscriptionMode }),
      release: () => Promise.all(connections.map(closeConnection)),
    };
  };

  describeCluster("a cluster by the sharded adapter with channels for private rooms too", () =>
    startNodes(withMode("dynamic-private")),
  );
  if (!isOfficial) {
    describeCluster("a cluster of both servers by the sharded adapter", () =>
      startNodes(withMode("dynamic"), { modules: MIXED }),
    );
  }
});
