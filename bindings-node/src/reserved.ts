/** Event names that mean something to the protocol or to the emitter itself. */

/** Names that cannot be emitted. */
export const RESERVED_EVENTS: ReadonlySet<string | symbol> = new Set([
  "connect",
  "connect_error",
  "disconnect",
  "disconnecting",
  "newListener",
  "removeListener",
]);

/** Refuses event names that mean something else. */
export function refuseReserved(name: string | symbol): void {
  if (RESERVED_EVENTS.has(name)) throw new Error(`"${String(name)}" is a reserved event name`);
}
