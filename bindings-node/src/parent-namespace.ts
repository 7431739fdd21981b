// biome-ignore-all lint/suspicious/noExplicitAny: the arguments of events are the application's.
/** Namespaces that come into being when a client asks for them. */

import { Adapter, type BroadcastOptions } from "./adapter";
import type { RemoteSocket } from "./broadcast-operator";
import { debug } from "./debug";
import { Namespace } from "./namespace";
import type { Packet } from "./parser";
import type { Server } from "./server";
import type { DefaultEventsMap, EventsMap } from "./types";

/** What the namespaces matched by one pattern or function have in common. */
export class ParentNamespace<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
  static #count = 0;

  /** The namespaces that exist at the moment. */
  readonly children = new Set<Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>();

  constructor(server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) {
    super(server, `/_${ParentNamespace.#count}`);
    ParentNamespace.#count += 1;
  }

  /** Whatever adapter the children have: what goes to all of them goes through each. */
  override _initAdapter(): void {
    this.adapter = new ParentAdapter(this as any);
  }

  /** A parent has no sockets of its own. */
  override fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]> {
    throw new Error("fetchSockets() is not supported on parent namespaces");
  }

  /** Brings a namespace into being, with the middleware and listeners that the parent has now. */
  createChild(name: string): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    debug.parentNamespace("creating child namespace %s", name);
    const child = new ChildNamespace(this, name);
    for (const middleware of this._fns) child.use(middleware);
    for (const event of ["connect", "connection"] as const) {
      for (const listener of this.listeners(event)) child.on(event, listener as any);
    }
    this.children.add(child);
    this.server._addNamespace(child);
    return child;
  }
}

/** Passes broadcasts on to the children. */
class ParentAdapter extends Adapter {
  override broadcast(packet: Packet, opts: BroadcastOptions): void {
    for (const { adapter } of (this.nsp as unknown as ParentNamespace).children) {
      // A packet of its own, because adapters write into it.
      adapter.broadcast({ ...packet, data: [...(packet.data as unknown[])] }, opts);
    }
  }
}

/** A namespace that may go away with its last socket. */
class ChildNamespace<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> extends Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
  readonly #parent: ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;

  constructor(parent: ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, name: string) {
    super(parent.server, name);
    this.#parent = parent;
  }

  override _remove(socket: any): void {
    super._remove(socket);
    this._removeIfEmpty();
  }

  override _removeIfEmpty(): void {
    if (!this.server.opts.cleanupEmptyChildNamespaces) return;
    if (this.sockets.size > 0 || this._preConnectSockets.size > 0 || this._nRestoring > 0) return;
    // It may have gone before.
    if (!this.#parent.children.delete(this)) return;
    debug.parentNamespace("closing child namespace %s", this.name);
    this.server._removeNamespace(this);
    this.adapter.close();
  }
}
