/** An object whose changes are heard of. */

/**
 * Shows an object. `hear` is told of a property that is about to be set, also one level below, where it is the property
 * above with its next value. What it throws leaves everything as it was.
 */
export function observed<T extends object>(object: T, hear: (name: keyof T, next: unknown) => void): T {
  return new Proxy(object, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      return isPlain(value) ? part(value, (next) => hear(name as keyof T, next)) : value;
    },
    set(target, name, value) {
      hear(name as keyof T, value);
      return Reflect.set(target, name, value);
    },
    deleteProperty(target, name) {
      hear(name as keyof T, undefined);
      return Reflect.deleteProperty(target, name);
    },
  });
}

function part(object: object, hear: (next: object) => void): object {
  return new Proxy(object, {
    set(target, name, value) {
      hear({ ...target, [name]: value });
      return Reflect.set(target, name, value);
    },
  });
}

function isPlain(value: unknown): value is object {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.getPrototypeOf(value)?.constructor?.name === "Object"
  );
}
