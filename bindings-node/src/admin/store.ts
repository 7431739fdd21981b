/** Where the sessions of admin clients are kept, so that nobody has to log in anew for each connection. */

/** What keeps sessions: the same as in `@socket.io/admin-ui`, whose `RedisStore` is one. */
export interface Store {
  doesSessionExist(sessionId: string): Promise<boolean> | boolean;
  saveSession(sessionId: string): unknown;
}

/** As long as in `RedisStore`. */
const DURATION_MS = 24 * 60 * 60 * 1000;

/** The oldest goes for a new one. */
const MAX_SESSIONS = 1000;

/** Keeps at most a thousand sessions, each for a day. */
export class InMemoryStore implements Store {
  /** When they end, the oldest first. */
  readonly #ends = new Map<string, number>();

  doesSessionExist(sessionId: string): Promise<boolean> {
    const end = this.#ends.get(sessionId);
    return Promise.resolve(end !== undefined && end > Date.now());
  }

  saveSession(sessionId: string): void {
    const [oldest] = this.#ends.keys();
    if (this.#ends.size >= MAX_SESSIONS && oldest !== undefined) this.#ends.delete(oldest);
    this.#ends.set(sessionId, Date.now() + DURATION_MS);
  }
}

/** Whether something can keep sessions. */
export function isStore(store: unknown): store is Store {
  const { doesSessionExist, saveSession } = (store ?? {}) as Partial<Store>;
  return typeof doesSessionExist === "function" && typeof saveSession === "function";
}
