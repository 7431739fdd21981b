/** A map whose content is kept elsewhere and looked up when it is asked for. */

import { inspect } from "node:util";

/** Shows, at any moment, what `list`, `find` and `count` give. It cannot be changed. */
export class LiveMap<Key, Value> extends Map<Key, Value> {
  readonly #list: () => [Key, Value][];
  readonly #find: (key: Key) => Value | undefined;
  readonly #count: () => number;

  constructor(list: () => [Key, Value][], find: (key: Key) => Value | undefined, count: () => number) {
    super();
    this.#list = list;
    this.#find = find;
    this.#count = count;
  }

  override get size(): number {
    return this.#count();
  }

  /** What `console.log` prints. */
  [inspect.custom](): Map<Key, Value> {
    return new Map(this.#list());
  }

  override get(key: Key): Value | undefined {
    return this.#find(key);
  }

  override has(key: Key): boolean {
    return this.#find(key) !== undefined;
  }

  override entries(): MapIterator<[Key, Value]> {
    return new Map(this.#list()).entries();
  }

  override keys(): MapIterator<Key> {
    return new Map(this.#list()).keys();
  }

  override values(): MapIterator<Value> {
    return new Map(this.#list()).values();
  }

  override [Symbol.iterator](): MapIterator<[Key, Value]> {
    return this.entries();
  }

  override forEach(callback: (value: Value, key: Key, map: Map<Key, Value>) => void, self?: unknown): void {
    for (const [key, value] of this.#list()) callback.call(self, value, key, this);
  }
}
