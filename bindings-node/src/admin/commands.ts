/** What the admin UI asks the server to do. */

import type { Namespace } from "../namespace";
import type { Server } from "../server";
import type { Socket } from "../socket";

/** More rooms than this no person has chosen. */
const MAX_ROOMS = 1000;

type Target = ReturnType<Namespace["in"]>;

/** Carries out the commands of an admin client. What makes no sense is ignored. */
export function listenToCommands(io: Server, socket: Socket): void {
  const on = (command: string, act: (...args: unknown[]) => void): void => {
    socket.on(command, (...args: unknown[]) => {
      try {
        act(...args);
      } catch {
        // A command must not end the process: the name of a reserved event, for one.
      }
    });
  };
  on("emit", (nsp, filter, event, ...args) => {
    if (typeof event !== "string") return;
    const values = args.filter((value) => typeof value !== "function");
    targetOf(io, nsp, filter)?.emit(event, ...values);
  });
  on("join", (nsp, room, filter) => {
    if (areRooms(room)) targetOf(io, nsp, filter)?.socketsJoin(room);
  });
  on("leave", (nsp, room, filter) => {
    if (areRooms(room)) targetOf(io, nsp, filter)?.socketsLeave(room);
  });
  on("_disconnect", (nsp, close, filter) => {
    targetOf(io, nsp, filter)?.disconnectSockets(close === true);
  });
}

/** The sockets of a namespace, or of rooms; none where the namespace is unknown or the rooms are no rooms. */
function targetOf(io: Server, nsp: unknown, filter: unknown): Target | undefined {
  const namespace = io._nsps.get(nsp as string);
  if (!filter || typeof filter === "function") return namespace?.in([]);
  return areRooms(filter) ? namespace?.in(filter) : undefined;
}

function areRooms(rooms: unknown): rooms is string | string[] {
  if (typeof rooms === "string") return true;
  const isList = Array.isArray(rooms) && rooms.length > 0 && rooms.length <= MAX_ROOMS;
  return isList && rooms.every((room) => typeof room === "string");
}
