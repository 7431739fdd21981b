const { connected, next, start } = require("./support");

test("moves are gathered, and everybody sees them", async () => {
  const url = await start("positions.mjs");
  const [mover, viewer] = [await connected(url), await connected(url)];
  await next(viewer, "positions");
  const seen = next(viewer, "positions");
  mover.emit("move", "not", "numbers");
  for (let x = 0; x < 100; x += 1) mover.emit("move", x, 2 * x);
  let [[[id, [x, y]]]] = await seen;
  while (x < 99) [[[id, [x, y]]]] = await next(viewer, "positions");
  expect([id, x, y]).toEqual([mover.id, 99, 198]);

  const newcomer = await connected(url);
  expect(await next(newcomer, "positions")).toEqual([[[mover.id, [99, 198]]]]);
  const left = next(viewer, "left");
  const gone = mover.id;
  mover.close();
  expect(await left).toEqual([gone]);
});
