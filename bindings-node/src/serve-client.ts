/** Serves the files of the browser's client. */

import { createReadStream } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import path from "node:path";
import { pipeline } from "node:stream";
import { createBrotliCompress, createDeflate, createGzip } from "node:zlib";

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
  const { folder, version } = locateClient();
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

/** The files come with the package `socket.io-client`. */
export function locateClient(): { folder: string; version: string } {
  const description = require.resolve("socket.io-client/package.json");
  return { folder: path.join(path.dirname(description), "dist"), version: require(description).version };
}

/** The best compression that a client accepts. */
function acceptedEncoding(header: string | string[] | undefined): keyof typeof COMPRESSORS | undefined {
  const accepted = new Set<string>();
  for (const entry of `${header ?? ""}`.split(",")) {
    const [name, ...parameters] = entry.split(";").map((part) => part.trim().toLowerCase());
    if (name && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))) accepted.add(name);
  }
  for (const name of ["br", "gzip", "deflate"] as const) {
    if (accepted.has(name) || accepted.has("*")) return name;
  }
  return undefined;
}
