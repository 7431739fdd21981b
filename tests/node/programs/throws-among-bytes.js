"use strict";

/** Throws in some of many listeners of one batch, and prints what the others got. */

const { io: connect } = require("socket.io-client");
const { underTest } = require("../support/module");

const io = new underTest.Server(0);
const heard = [];
let n_thrown = 0;

process.on("uncaughtException", () => {
  n_thrown += 1;
});

io.on("connection", (socket) => {
  socket.on("bytes", (n, bytes) => {
    heard.push(`${n}:${bytes.toString()}`);
    if (n % 3 === 0) throw new Error("from a listener");
  });
  socket.on("leave", () => socket.disconnect(true));
  socket.on("end", (answer) => answer());
});

const connected = () =>
  connect(`http://127.0.0.1:${io.httpServer.address().port}`, { transports: ["websocket"] });

io.httpServer.on("listening", async () => {
  const [leaving, client] = [connected(), connected()];
  await Promise.all([leaving, client].map((one) => new Promise((resolve) => one.on("connect", resolve))));
  // Events of a client that has been put out come to nobody, and take no bytes from others.
  leaving.emit("leave");
  for (let n = 0; n < 60; n += 1) {
    leaving.emit("bytes", 100 + n, Buffer.from("nobody's"));
    client.emit("bytes", n, Buffer.from(`the bytes of ${n}`));
  }
  await client.emitWithAck("end");
  const expected = Array.from({ length: 60 }, (_, n) => `${n}:the bytes of ${n}`);
  const own = heard.filter((one) => !one.endsWith("nobody's"));
  const isRight = JSON.stringify(own) === JSON.stringify(expected);
  process.stdout.write(
    isRight && n_thrown >= 20 ? "all right" : `wrong: ${n_thrown} thrown, ${own.join(", ")}`,
  );
  client.close();
  await io.close();
});
