/** What the sockets of one client share. */

export { Client } from "../client";
