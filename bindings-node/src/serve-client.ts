/** Serves the files of the browser's client. */

import { createReadStream, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { pipeline } from "node:stream";
import { createBrotliCompress, createDeflate, createGzip } from "node:zlib";
import { warn } from "./warning";

/** The files that are served; each has a source map beside it. */
const FILES = ["socket.io.esm.min.js", "socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js"];
const NAMES: ReadonlySet<string> = new Set(FILES.flatMap((name) => [name, `${name}.map`]));

const COMPRESSORS = { br: createBrotliCompress, gzip: createGzip, deflate: createDeflate };

/** The client file that a request under `base` asks for. */
export function clientFile(base: string, url: string): string | undefined {
  if (!url.startsWith(base)) return undefined;
  const [name] = url.slice(base.length + 1).split("?", 1) as [string];
  return NAMES.has(name) ? name : undefined;
}

/** Answers a request with a client file. */
export function serveClientFile(name: string, request: IncomingMessage, response: ServerResponse): void {
  const client = locateClient();
  if (client === null) {
    response.writeHead(404).end();
    return;
  }
  const { folder, version } = client;
  const tag = `"${version}"`;
  const known = request.headers["if-none-match"];
  if (known === tag || known === `W/${tag}`) {
    response.writeHead(304).end();
    return;
  }
  const type = name.endsWith(".map") ? "json" : "javascript";
  response.setHeader("Cache-Control", "public, max-age=0");
  response.setHeader("Content-Type", `application/${type}; charset=utf-8`);
  response.setHeader("ETag", tag);
  const file = createReadStream(path.join(folder, name));
  const finish = (error: Error | null | undefined) => {
    if (error) response.end();
  };
  const encoding = acceptedEncoding(request.headers["accept-encoding"]);
  if (encoding === undefined) {
    response.writeHead(200);
    pipeline(file, response, finish);
  } else {
    response.writeHead(200, { "Content-Encoding": encoding });
    pipeline(file, COMPRESSORS[encoding](), response, finish);
  }
}

interface ClientPackage {
  /** Where the files are. */
  folder: string;
  version: string;
}

/** `null` when it was looked for and is not there. */
let found: ClientPackage | null | undefined;

/** The package `socket.io-client`, with which the files come. */
export function locateClient(): ClientPackage | null {
  if (found === undefined) {
    found = findClient();
    if (found === null) {
      warn(
        "the browser's client is not served, because the package socket.io-client is not beside the server:" +
          " install it, or set serveClient to false",
      );
    }
  }
  return found;
}

function findClient(): ClientPackage | null {
  // Bundlers would put something else in place of `require.resolve`. A bundle of ES modules has no `__filename`.
  const here = typeof __filename === "string" ? __filename : path.resolve(process.argv[1] ?? "");
  try {
    const description = createRequire(here).resolve("socket.io-client/package.json");
    const { version } = JSON.parse(readFileSync(description, "utf8"));
    return { folder: path.join(path.dirname(description), "dist"), version };
  } catch {
    return null;
  }
}

/** The compression that a client likes best: by its weights, then in its own order. */
function acceptedEncoding(header: string | string[] | undefined): keyof typeof COMPRESSORS | undefined {
  const accepted = `${header ?? ""}`.split(",").map((entry, place) => {
    const [name, ...parameters] = entry.split(";").map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith("q="));
    return { name, weight: weight === undefined ? 1 : Number.parseFloat(weight.slice(2)), place };
  });
  const find = (wanted: string) => accepted.find(({ name }) => name === wanted);
  const liked = (["br", "gzip", "deflate"] as const).flatMap((encoding) => {
    const named = find(encoding);
    const { weight, place } = named ?? find("*") ?? { weight: 0, place: 0 };
    return weight > 0 ? [{ encoding, weight, isNamed: named !== undefined, place }] : [];
  });
  // What is equal stays in the order of the list above.
  liked.sort((a, b) => b.weight - a.weight || Number(b.isNamed) - Number(a.isNamed) || a.place - b.place);
  return liked[0]?.encoding;
}
