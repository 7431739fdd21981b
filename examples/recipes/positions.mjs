// Positions of players, many times a second: what is late is worthless, so it is volatile. `node positions.mjs`.

import { Server } from "ferrio";
import { announce } from "./listening.mjs";

const TICK = 50;

const io = new Server(Number(process.env.PORT ?? 3000));

/** Where everybody is, and who has moved since the last tick. */
const positions = new Map();
const moved = new Set();

io.on("connection", (socket) => {
  // The whole picture once, reliably; after that only changes, volatile.
  socket.emit("positions", [...positions]);

  socket.on("move", (x, y) => {
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    positions.set(socket.id, [x, y]);
    moved.add(socket.id);
  });

  socket.on("disconnect", () => {
    positions.delete(socket.id);
    moved.delete(socket.id);
    io.emit("left", socket.id);
  });
});

// One event for all who moved, encoded once: a hundred moves of one player in a tick cost as much as one.
setInterval(() => {
  if (moved.size === 0) return;
  io.volatile.emit(
    "positions",
    Array.from(moved, (id) => [id, positions.get(id)]),
  );
  moved.clear();
}, TICK);

announce(io);
