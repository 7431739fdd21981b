/** Sessions that a namespace's adapter keeps, so that clients can continue them with any server of a cluster. */

import { randomBytes } from "node:crypto";
import type { RestoredSession } from "./adapter";
import type { Bridge } from "./bridge";
import type { Namespace } from "./namespace";
import type { DisconnectReason, Socket } from "./socket";
import { isWellFormed } from "./value";

/** Bytes of the secret by which a client asks for its session: 120 bits, as in socket.io. */
const SECRET_BYTES = 15;

/** A new secret. */
export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString("base64url");
}

/** Which session a client asks for, and what it has seen of it. */
export interface Claim {
  pid: string;
  offset: string;
}

/** What a client claims in what it sends to connect, if anything. */
export function claimOf(auth: object): Claim | undefined {
  const { pid, offset } = auth as Partial<Claim>;
  return typeof pid === "string" && typeof offset === "string" ? { pid, offset } : undefined;
}

/** Looks for a session. When the adapter fails, there is none. */
export async function findSession(nsp: Namespace, claim: Claim): Promise<RestoredSession | undefined> {
  try {
    const session: RestoredSession | null = await nsp.adapter.restoreSession(claim.pid, claim.offset);
    return session && isWhole(session) ? session : undefined;
  } catch {
    return undefined;
  }
}

/** It comes from elsewhere, and its ids go into packets. */
function isWhole({ sid, pid, rooms, missedPackets }: RestoredSession): boolean {
  const areTexts = [sid, pid].every((text) => typeof text === "string" && isWellFormed(text));
  return areTexts && Array.isArray(rooms) && Array.isArray(missedPackets);
}

/** Puts a socket into its former rooms, and sends what its client has missed. */
export function resume(bridge: Bridge, socket: Socket, session: RestoredSession): void {
  for (const room of session.rooms) socket.join(room);
  for (const args of session.missedPackets) bridge.commands.replay(socket._key, args, socket.nsp.name);
}

/** Has the adapter keep the session of a socket that leaves, if its client may come back. */
export function keepSession(socket: Socket, reason: DisconnectReason): void {
  if (socket.pid === undefined || !RECOVERABLE.has(reason)) return;
  const { id, pid, rooms, data } = socket;
  socket.adapter.persistSession({ sid: id, pid, rooms: [...rooms], data });
}

const RECOVERABLE: ReadonlySet<DisconnectReason> = new Set([
  "transport error",
  "transport close",
  "forced close",
  "ping timeout",
  "server shutting down",
  "forced server close",
  "slow reader",
]);
