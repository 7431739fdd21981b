// Visits the server of the README at the address on the command line: reads its page, lets two clients into a room,
// and prints what they saw.

const { once } = require("node:events");
const { io: connect } = require("socket.io-client");
const url = process.argv[2];

const DEADLINE_MS = 60_000;
setTimeout(() => process.exit(1), DEADLINE_MS).unref();

// The first client waits for a server that is still starting; everything after it finds the server there.
const first = connect(url, { reconnectionDelay: 100, reconnectionDelayMax: 100 });
const second = connect(url, { autoConnect: false });

first.once("connect", async () => {
  const page = await (await fetch(url)).text();
  const welcome = await first.timeout(10_000).emitWithAck("join", "lobby");
  const joined = when(first, "joined");
  const said = when(first, "said");
  second.connect();
  await once(second, "connect");
  await second.timeout(10_000).emitWithAck("join", "lobby");
  second.emit("say", "lobby", "hello");
  const [who] = await joined;
  console.log(JSON.stringify({ page, welcome, joined: who, said: await said, second: second.id }));
  first.close();
  second.close();
});

function when(client, event) {
  return new Promise((resolve) => {
    client.once(event, (...args) => resolve(args));
  });
}
