/** ferrio for Node: a Socket.IO server whose core is Rust. The names are those of the package socket.io. */

import { Adapter } from "./adapter";
import { InMemoryStore, instrument } from "./admin";
import { BroadcastOperator } from "./broadcast-operator";
import { Namespace } from "./namespace";
import type { ServerOptions } from "./options";
import { type AnyHttpServer, Server } from "./server";
import { Socket } from "./socket";

export type { AdapterConstructor, BroadcastFlags, BroadcastOptions, Room, SocketId } from "./adapter";
export type { InstrumentOptions } from "./admin";
export type { RemoteSocket } from "./broadcast-operator";
export type { Handshake } from "./handshake";
export type { ExtendedError } from "./namespace";
export type { CorsOptions, ServerOptions } from "./options";
export type { DisconnectReason, Event } from "./socket";
export type { DefaultEventsMap, EventsMap } from "./types";
export { Adapter, BroadcastOperator, InMemoryStore, instrument, Namespace, Server, Socket };

/** Makes a server without `new`. */
function ferrio(server?: AnyHttpServer | number | string, options?: Partial<ServerOptions>): Server {
  return new Server(server, options);
}

// `require("ferrio")(httpServer)` works as well as `new (require("ferrio").Server)(httpServer)`.
module.exports = Object.assign(ferrio, {
  Adapter,
  BroadcastOperator,
  InMemoryStore,
  instrument,
  Namespace,
  Server,
  Socket,
});
