// Sends a file of so many bytes in so many pieces, and prints its id and the progress.

import { randomBytes } from "node:crypto";
import { io } from "socket.io-client";
import { upload } from "../../../examples/recipes/upload-client.mjs";

const [url, transport, size, pieceSize] = process.argv.slice(2);
const socket = io(url, { transports: [transport] });
const progress = [];
const id = await upload(
  socket,
  randomBytes(Number(size)),
  (received) => progress.push(received),
  Number(pieceSize),
);
process.stdout.write(JSON.stringify({ id, progress }));
socket.close();
