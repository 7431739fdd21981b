/** Sockets. */

export { type Event, Socket } from "../socket";
