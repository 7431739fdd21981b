/** Broadcasts, and the sockets of other servers. */

export { BroadcastOperator, type RemoteSocket } from "../broadcast-operator";
