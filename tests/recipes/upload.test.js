const { connected, next, program, start } = require("./support");

const transports = [["websocket"], ["polling"]];

test.each(transports)("a file arrives in pieces, with its progress, over %s", async (transport) => {
  const url = await start("upload.mjs");
  const watcher = await connected(url);
  const uploaded = next(watcher, "uploaded");
  const { id, progress } = JSON.parse(await program("upload.mjs", url, transport, 1_000_000, 300_000));
  expect(progress).toEqual([300_000, 600_000, 900_000, 1_000_000]);
  expect(await uploaded).toEqual([{ id, size: 1_000_000 }]);
});

test("a client that does not keep to the order is told so", async () => {
  const url = await start("upload.mjs");
  const socket = await connected(url);
  const { id } = await socket.emitWithAck("upload", { size: 10 });
  const piece = (offset, bytes) => socket.emitWithAck("piece", { id, offset, bytes });
  expect(await piece(5, Buffer.alloc(5))).toEqual({ error: "the next piece begins at 0" });
  expect(await piece(0, Buffer.alloc(11))).toEqual({ error: "more bytes than were announced" });
  expect(await piece(0, "text")).toEqual({ error: "a piece has bytes" });
  expect(await socket.emitWithAck("piece", null)).toEqual({ error: "there is no such upload" });
  expect(await socket.emitWithAck("upload", { size: -1 })).toEqual({ error: "a file has 1 to 64 MiB" });
  expect(await piece(0, Buffer.alloc(10))).toEqual({ received: 10 });
});
