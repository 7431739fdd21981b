/// <reference types="node" preserve="true" />
/** An Engine.IO server alone: the package `ferrio/engine`. The names are those of the package engine.io. */

import { createServer, type Server as HttpServer } from "node:http";
import type { AttachOptions, EngineOptions } from "./engine-options";
import { EngineServer as Server } from "./engine-server";
import { EngineSocket as Socket } from "./engine-socket";
import { Transport } from "./engine-transport";
import { OwnPort } from "./own-port";

export type { AttachOptions, EngineOptions as ServerOptions } from "./engine-options";
export type { ConnectionError, EngineMiddleware as Middleware } from "./engine-server";
export type { Packet, PacketType, RawData, SendCallback, SendOptions } from "./engine-socket";
export { Server, Socket, Transport };

/** The newest revision of the protocol that is spoken. */
export const protocol = 4;

/** Makes a server, and has it serve its requests of an HTTP server. */
export function attach(http: HttpServer, options: Partial<EngineOptions & AttachOptions> = {}): Server {
  const engine = new Server(options);
  engine.attach(http, options);
  return engine;
}

/**
 * Makes a server with an HTTP server of its own, `server.httpServer`, that answers all other requests with 501. The
 * listener is called when the port is open.
 */
export function listen(
  port: number,
  options?: Partial<EngineOptions & AttachOptions> | (() => void) | null,
  listener?: () => void,
): Server {
  if (typeof options === "function") return listen(port, {}, options);
  const given = options ?? {};
  const engine = new Server(given);
  const answer: Parameters<typeof createServer>[1] = (_request, response) => {
    response.writeHead(501).end("Not Implemented");
  };
  if (given.ownPort !== true || engine._asksForOrigins) {
    engine.httpServer = createServer(answer);
    engine.attach(engine.httpServer, given);
    engine.httpServer.listen(port, listener);
    return engine;
  }
  const own = new OwnPort({ engine }, answer);
  engine.httpServer = own;
  engine._giveToNode = () => own.giveToNode();
  engine.attach(own, given);
  own.open(port, listener);
  return engine;
}
