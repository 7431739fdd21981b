// Copies the files of the browser's client to where the official package has them: `npm pack` runs it.

import { cpSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
cpSync(
  path.join(root, "node_modules/socket.io-client/dist"),
  path.join(root, "bindings-node/socket.io/client-dist"),
  { recursive: true },
);
