"use strict";

const { setupPrimary } = require("@socket.io/cluster-adapter");
const { eventually, once } = require("../node/support/wait");
const { describeCluster } = require("./support/cluster-scenarios");
const { isOfficial, MIXED, underTest } = require("./support/module");
const { acquainted } = require("./support/nodes");
const { startWorker } = require("./support/workers");

setupPrimary();

const startWorkers = (modules) => Promise.all(modules.map((module) => startWorker({ module })));

describeCluster("a cluster by @socket.io/cluster-adapter", () =>
  startWorkers([underTest, underTest, underTest]),
);
if (!isOfficial) {
  describeCluster("a cluster of both servers by @socket.io/cluster-adapter", () => startWorkers(MIXED));
}

test("a worker that dies is missed by its heartbeat", async () => {
  const nodes = await startWorkers([underTest, underTest]);
  try {
    await acquainted(nodes);
    const client = await nodes[1].connect();
    const gone = once(client, "disconnect");
    await nodes[1].kill();
    await gone;

    await eventually(async () => (await nodes[0].run((io) => io.of("/").adapter.serverCount())) === 1);
    expect(await nodes[0].run(async (io) => (await io.fetchSockets()).length)).toBe(0);
  } finally {
    for (const node of nodes) await node.close();
  }
});
