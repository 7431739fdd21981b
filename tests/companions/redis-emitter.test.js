"use strict";

const { createAdapter } = require("@socket.io/redis-adapter");
const { Emitter } = require("@socket.io/redis-emitter");
const { describeEmitter } = require("./support/emitter-scenarios");
const { underTest } = require("./support/module");
const { startNodes } = require("./support/nodes");
const { closeConnection, startRedis } = require("./support/redis");

let server;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

const startWith = (name) => async () => {
  const makeAdapter = async () => {
    const connections = [await server.open[name](), await server.open[name]()];
    return {
      adapter: createAdapter(...connections),
      release: () => Promise.all(connections.map(closeConnection)),
    };
  };
  const nodes = await startNodes(makeAdapter, { modules: [underTest, underTest] });
  const connection = await server.open[name]();
  return { nodes, emitter: new Emitter(connection), release: () => closeConnection(connection) };
};

describeEmitter("@socket.io/redis-emitter with redis", startWith("redis"));
describeEmitter("@socket.io/redis-emitter with ioredis", startWith("ioredis"));
