/** The names of rooms, which in JavaScript may be any value. */

/** The name by which the core knows a room. A text stands for itself; other values must not be confused with texts. */
export function roomToCore(room: unknown): string {
  if (typeof room === "string") return room;
  return typeof room === "number" ? `${NUMBER}${room}` : `${OTHER}${String(room)}`;
}

/** The room of this name. */
export function roomFromCore(name: string): string {
  // The types speak of texts only; what applications join with a number they also ask for with a number.
  return name.startsWith(NUMBER) ? (Number(name.slice(NUMBER.length)) as unknown as string) : name;
}

/** The names of several rooms. */
export function roomsToCore(rooms: Iterable<unknown>): string[] {
  return Array.from(rooms, roomToCore);
}

const NUMBER = "\0number:";
const OTHER = "\0other:";
