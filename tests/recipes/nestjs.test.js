const { connected, next, start } = require("./support");

test.each([["websocket"], ["polling"]])(
  "a gateway of Nest answers and sends to all over %s",
  async (transport) => {
    const url = await start("nestjs.ts");
    const [first, second] = [await connected(url, { transports: [transport] }), await connected(url)];
    const said = next(second, "said");
    expect(await first.emitWithAck("say", "hello")).toBe(5);
    expect(await said).toEqual([first.id, "hello"]);
  },
);
