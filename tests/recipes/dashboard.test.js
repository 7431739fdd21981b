const { connected, next, start } = require("./support");

test("who looks gets what was measured, then every new figure", async () => {
  const url = await start("dashboard.mjs");
  expect(await (await fetch(url)).text()).toContain("<h1>Dashboard</h1>");
  const first = await connected(`${url}/dashboard`);
  const [[kept]] = await next(first, "figures");
  expect(kept).toEqual({
    time: expect.any(Number),
    load: expect.any(Number),
    memory: expect.any(Number),
    clients: 1,
  });
  const [[fresh]] = await next(first, "figures");
  expect(fresh.time).toBeGreaterThan(kept.time);
  first.close();
  // With nobody there the clock stands still: the next one to look makes the next figure.
  const second = await connected(`${url}/dashboard`);
  const [figures] = await next(second, "figures");
  expect(figures.length).toBeGreaterThanOrEqual(3);
});
