/** A map whose content is kept elsewhere and looked up when it is asked for. */

/** Shows, at any moment, what `list` and `find` give. It cannot be changed. */
export class LiveMap<Key, Value> extends Map<Key, Value> {
  readonly #list: () => [Key, Value][];
  readonly #find: (key: Key) => Value | undefined;

  constructor(list: () => [Key, Value][], find: (key: Key) => Value | undefined) {
    super();
    this.#list = list;
    this.#find = find;
  }

  override get size(): number {
    return this.#list().length;
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
