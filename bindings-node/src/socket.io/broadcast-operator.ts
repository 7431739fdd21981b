/** Broadcasts, and the sockets of other servers. */

export { BroadcastOperator, RemoteSocket } from "../broadcast-operator";
