/** What sockets tell of themselves and of their clients. */

export type { Handshake } from "../handshake";
export { RESERVED_EVENTS } from "../reserved";
export type { DisconnectReason, EventEmitterReservedEventsMap, SocketReservedEventsMap } from "../socket";
