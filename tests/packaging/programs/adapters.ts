// biome-ignore-all lint/suspicious/noExplicitAny: so do the declarations of adapters.
// Compiled, never run: classes and factories of adapters, as their own packages declare them and as applications derive
// them, are what a server takes.

import { createAdapter, createShardedAdapter, type RedisAdapter } from "@socket.io/redis-adapter";
import { Server } from "socket.io";
import {
  Adapter,
  ClusterAdapter,
  type ClusterMessage,
  type ClusterResponse,
  SessionAwareAdapter,
} from "socket.io-adapter";

class Cluster extends ClusterAdapter {
  constructor(nsp: any) {
    super(nsp);
  }
  protected doPublish(_message: ClusterMessage): Promise<string> {
    return Promise.resolve("offset");
  }
  protected doPublishResponse(_to: string, _response: ClusterResponse): Promise<void> {
    return Promise.resolve();
  }
}

class Counting extends Adapter {
  constructor(
    nsp: any,
    readonly counts: Map<string, number>,
  ) {
    super(nsp);
  }
}

export const io = new Server({ adapter: createAdapter({}, {}) });
new Server({ adapter: createShardedAdapter({}, {}) });
new Server({ adapter: SessionAwareAdapter });
new Server({ adapter: (nsp) => new Counting(nsp, new Map()) });
io.adapter(Cluster).adapter(Adapter);
// @ts-expect-error this is no adapter
io.adapter((_nsp) => "none");

export const redis = io.of("/").adapter as RedisAdapter;
export const own = io.of("/").adapter as Adapter;
export const members: Set<string> | undefined = own.rooms.get("room") ?? io.of("/").adapter.rooms.get("room");
