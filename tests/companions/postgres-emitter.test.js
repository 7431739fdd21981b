"use strict";

const { Emitter } = require("@socket.io/postgres-emitter");
// From 0.4 on the adapter ignores what this emitter sends.
const { createAdapter } = require("postgres-adapter-v0.3");
const { describeEmitter } = require("./support/emitter-scenarios");
const { underTest } = require("./support/module");
const { startNodes } = require("./support/nodes");
const { startPostgres } = require("./support/postgres");

let server;
beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(() => server.stop());

describeEmitter("@socket.io/postgres-emitter", async () => {
  const makeAdapter = async () => {
    const pool = server.pool();
    return { adapter: createAdapter(pool), release: () => pool.end() };
  };
  const nodes = await startNodes(makeAdapter, { modules: [underTest, underTest] });
  const pool = server.pool();
  return { nodes, emitter: new Emitter(pool), release: () => pool.end() };
});
