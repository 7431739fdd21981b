const { connected, end, next, start, startRedis, told } = require("./support");

test("two nodes are one chat", async () => {
  const REDIS_URL = await startRedis();
  const urls = await Promise.all([
    start("two-nodes.mjs", { REDIS_URL }),
    start("two-nodes.mjs", { REDIS_URL }),
  ]);
  const ann = await connected(urls[0], { auth: { name: "ann" } });
  const bob = await connected(urls[1], { auth: { name: "bob" } });
  await ann.emitWithAck("join", "lobby");
  await bob.emitWithAck("join", "lobby");
  expect(await next(ann, "joined")).toEqual(["bob"]);
  ann.emit("say", "lobby", "hello");
  expect(await next(bob, "said")).toEqual(["ann", "hello"]);
  expect(await next(ann, "said")).toEqual(["ann", "hello"]);
  bob.emit("say", "another room", "nobody hears this");
  bob.emit("say", "lobby", "bye");
  expect(await next(ann, "said")).toEqual(["bob", "bye"]);
  const names = await (await fetch(`${urls[0]}/rooms/lobby`)).json();
  expect(names.sort()).toEqual(["ann", "bob"]);
});

test("a node that is told to end lets its clients go, and ends", async () => {
  const REDIS_URL = await startRedis();
  const url = await start("two-nodes.mjs", { REDIS_URL });
  // In the middle of an upgrade it would be a transport error.
  const ann = await connected(url, { auth: { name: "ann" }, transports: ["websocket"] });
  const gone = told(ann, "disconnect");
  expect(await end(url, "SIGTERM")).toBe(0);
  expect((await gone)[0]).toBe("transport close");
});
