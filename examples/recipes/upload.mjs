// Receives files in pieces, each acknowledged: `node upload.mjs`. The client's part is upload-client.mjs.

import { randomUUID } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { Server } from "ferrio";
import { announce } from "./listening.mjs";

const MAX_SIZE = 64 * 1024 * 1024;
const MAX_UPLOADS = 4;

const folder = await mkdtemp(path.join(os.tmpdir(), "uploads-"));
const io = new Server(Number(process.env.PORT ?? 3000));

io.on("connection", (socket) => {
  /** The uploads of this client that are not complete. */
  const uploads = new Map();

  answer("upload", async ({ size }) => {
    if (!Number.isInteger(size) || size < 1 || size > MAX_SIZE) throw new Error("a file has 1 to 64 MiB");
    if (uploads.size === MAX_UPLOADS) throw new Error("too many uploads at a time");
    const id = randomUUID();
    const upload = { size, received: 0, file: undefined };
    // Counted before anything is awaited: a client may ask many times at once.
    uploads.set(id, upload);
    upload.file = await open(path.join(folder, id), "wx");
    if (!socket.connected) await drop(id, upload);
    return { id };
  });

  answer("piece", async ({ id, offset, bytes }) => {
    const upload = uploads.get(id);
    if (!upload?.file) throw new Error("there is no such upload");
    if (!Buffer.isBuffer(bytes) || bytes.length === 0) throw new Error("a piece has bytes");
    if (offset !== upload.received) throw new Error(`the next piece begins at ${upload.received}`);
    if (offset + bytes.length > upload.size) throw new Error("more bytes than were announced");
    upload.received += bytes.length;
    await upload.file.write(bytes, 0, bytes.length, offset);
    // Whoever watches, such as another tab of the user, sees the progress. It may miss a step, not the end.
    io.volatile.emit("progress", { id, received: offset + bytes.length, size: upload.size });
    if (upload.received === upload.size) {
      uploads.delete(id);
      await upload.file.close();
      io.emit("uploaded", { id, size: upload.size });
    }
    return { received: offset + bytes.length };
  });

  socket.on("disconnect", async () => {
    for (const [id, upload] of uploads) await drop(id, upload);
    uploads.clear();
  });

  async function drop(id, { file }) {
    await file?.close();
    await rm(path.join(folder, id), { force: true });
  }

  /** Answers an event with what `handle` returns, or with its error. */
  function answer(event, handle) {
    socket.on(event, async (request, respond) => {
      if (typeof respond !== "function") return;
      try {
        respond(await handle(request ?? {}));
      } catch (error) {
        respond({ error: error.message });
      }
    });
  }
});

announce(io);
