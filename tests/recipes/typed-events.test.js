const { connected, next, start } = require("./support");

test("what one client adds and finishes, the others see", async () => {
  const url = await start("typed-events.ts");
  const [first, second] = [await connected(url), await connected(url)];
  const added = next(second, "todo added");
  const { value } = await first.emitWithAck("add todo", "write a test");
  expect(value).toEqual({ id: 1, title: "write a test", isDone: false });
  expect(await added).toEqual([value]);
  const done = next(first, "todo done");
  expect(await second.emitWithAck("finish todo", 1)).toEqual({ value: { ...value, isDone: true } });
  expect(await done).toEqual([1]);
});

test("what does not keep to the types does no harm", async () => {
  const url = await start("typed-events.ts");
  const socket = await connected(url);
  socket.emit("add todo");
  socket.emit("finish todo", {});
  expect(await socket.emitWithAck("add todo", 7)).toEqual({ error: "a title has 1 to 200 characters" });
  expect(await socket.emitWithAck("finish todo", "x")).toEqual({ error: "there is no such todo" });
});
