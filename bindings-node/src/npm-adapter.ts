// biome-ignore-all lint/suspicious/noExplicitAny: adapters of other packages have types of their own.
/**
 * Adapters of other packages. Most are derived from the class `Adapter` of npm's `socket.io-adapter`, which keeps rooms in
 * `Map`s and sends a broadcast socket by socket. What those say to `super` is done by the core instead.
 */

import { Adapter, type AdapterConstructor, type AnyAdapter, type BroadcastOptions } from "./adapter";
import { LocalSockets } from "./local-sockets";
import type { Namespace } from "./namespace";
import type { Socket } from "./socket";

/** The methods by which the base class works with the sockets of its own process. */
const LOCAL_METHODS = [
  "addAll",
  "del",
  "delAll",
  "broadcast",
  "broadcastWithAck",
  "sockets",
  "socketRooms",
  "fetchSockets",
  "addSockets",
  "delSockets",
  "disconnectSockets",
  "apply",
] as const;

/** Methods that the base class has and no other class of its kind would have by chance. */
const BASE_METHODS = ["addAll", "del", "delAll", "broadcast", "socketRooms", "apply", "computeExceptSids"];

/** The base classes whose methods have been replaced: there may be several copies of the package. */
const redirected = new WeakSet<object>();

/** Refuses what cannot make adapters. */
export function checkAdapter(adapter: unknown): asserts adapter is AdapterConstructor {
  if (typeof adapter !== "function") throw new TypeError("option `adapter` must be a class or a function");
}

/** Makes the adapter of a namespace. */
export function makeAdapter(make: AdapterConstructor, nsp: Namespace): AnyAdapter {
  // An arrow function cannot be called with `new`; any other may be a class.
  const isClass = typeof make.prototype === "object";
  const adapter: AnyAdapter = isClass ? new (make as any)(nsp) : (make as any)(nsp);
  if (typeof adapter !== "object" || adapter === null) {
    throw new TypeError("option `adapter` must be a class, or a function that returns an adapter");
  }
  return adapter;
}

/** Has an adapter of another package work with the sockets of the core. */
export function adopt(adapter: AnyAdapter, local: LocalSockets): void {
  const base = baseOf(adapter);
  if (base === undefined) return;
  if (!redirected.has(base)) {
    redirected.add(base);
    for (const name of LOCAL_METHODS) redirect(base, name);
  }
  for (const name of ["rooms", "sids"] as const) {
    Object.defineProperty(adapter, name, {
      value: local[name],
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
}

/** The prototype of npm's base class that an adapter is derived from. */
function baseOf(adapter: object): any {
  for (let base = Object.getPrototypeOf(adapter); base !== null; base = Object.getPrototypeOf(base)) {
    if (BASE_METHODS.every((name) => Object.hasOwn(base, name))) return base;
  }
  return undefined;
}

/** Replaces a method of the base class for the namespaces of this package, and leaves it to those of others. */
function redirect(base: any, name: (typeof LOCAL_METHODS)[number]): void {
  const original = base[name];
  if (typeof original !== "function") return;
  const replacement = function (this: AnyAdapter & { nsp?: unknown }, ...args: any[]) {
    const local = (this.nsp as Namespace | undefined)?._local;
    // Servers of other packages use the same class.
    if (!(local instanceof LocalSockets)) return original.apply(this, args);
    if (name === "addSockets" && this.addAll !== base.addAll) return joinEach(local, args as Move);
    if (name === "delSockets" && this.del !== base.del) return leaveEach(local, args as Move);
    return (local[name] as (...args: any[]) => unknown).apply(local, args);
  };
  Object.defineProperty(base, name, { value: replacement, configurable: true, writable: true });
}

type Move = [opts: BroadcastOptions, rooms: string[]];

/** The adapter has to see each join. */
function joinEach(local: LocalSockets, [opts, rooms]: Move): void {
  local.apply(opts, (socket: Socket) => socket.join(rooms));
}

function leaveEach(local: LocalSockets, [opts, rooms]: Move): void {
  local.apply(opts, (socket: Socket) => {
    for (const room of rooms) socket.leave(room);
  });
}

/** Whether an adapter is this package's own, behind which there is only the core. */
export function isOwn(adapter: AnyAdapter): boolean {
  return adapter.constructor === Adapter;
}
