/** What the core tells of clients: who wants to join, who has left, and what it asks meanwhile. */

import type { HttpDoor } from "./attach";
import type { Bridge, Connecting, Host } from "./bridge";
import { Client } from "./client";
import { type HandshakeRecord, makeRequest, type RequestHead } from "./handshake";
import type { ExtendedError } from "./namespace";
import type { Departure } from "./native";
import { decideOrigin } from "./options";
import type { Server } from "./server";
import { type DisconnectReason, Socket } from "./socket";

/** Receives the clients of one server, and sees them off. */
export class Reception implements Host {
  readonly #server: Server;
  readonly #door: HttpDoor;
  readonly #clients = new Map<string, Client>();
  /** The data of sockets whose clients may come back. */
  readonly #retained = new Map<number, { data: unknown }>();

  constructor(server: Server, door: HttpDoor) {
    this.#server = server;
    this.#door = door;
  }

  // ---- Questions

  onAskRequest(bridge: Bridge, question: number, tag: number, head: RequestHead): void {
    const request = this.#server.engine._request(tag) ?? makeRequest(head);
    this.#server.opts.allowRequest?.(request, (message: unknown, isAllowed) => {
      const refusal = message instanceof Error ? message.message : String(message ?? "");
      bridge.native.answerRequest(question, isAllowed ? undefined : refusal);
    });
  }

  onAskOrigin(bridge: Bridge, question: number, tag: number, head: RequestHead): void {
    const request = this.#server.engine._request(tag) ?? makeRequest(head);
    decideOrigin(this.#server.opts.cors ?? {}, request.headers, (decision) =>
      bridge.native.answerOrigin(question, decision),
    );
  }

  onAskNamespace(bridge: Bridge, question: number, name: string, auth: object): void {
    this.#server._admitNamespace(name, auth, (exists) => bridge.flushed.answerNamespace(question, exists));
  }

  // ---- Arrival

  onConnect(bridge: Bridge, key: number, admission: number, told: Connecting): void {
    const [name, id, previous, auth] = told;
    const namespace = this.#server._nsps.get(name);
    if (namespace === undefined) {
      // It went away with its last socket, just before this one came.
      this.#server._admitNamespace(name, auth, (exists) => {
        if (exists) this.onConnect(bridge, key, admission, told);
        else bridge.flushed.refuse(admission, "Invalid namespace", undefined);
      });
      return;
    }
    const restored = previous === 0 ? undefined : (this.#retained.get(previous) ?? {});
    this.#retained.delete(previous);
    const socket = new Socket(namespace, key, id, auth, restored);
    bridge.sockets.set(key, socket);
    namespace._preConnectSockets.set(id, socket);
    const skips = this.#server.opts.connectionStateRecovery?.skipMiddlewares !== false;
    if (namespace._fns.length === 0 || (restored !== undefined && skips)) {
      this.#admit(bridge, admission, socket);
      return;
    }
    let isDecided = false;
    namespace._run(socket, (error) => {
      // A middleware may call twice by mistake.
      if (isDecided) return;
      isDecided = true;
      process.nextTick(() => {
        if (error) this.#refuse(bridge, admission, socket, error);
        else this.#admit(bridge, admission, socket);
      });
    });
  }

  #admit(bridge: Bridge, admission: number, socket: Socket): void {
    if (bridge.flushed.accept(admission)) {
      socket.nsp._connect(socket);
    } else {
      bridge.sockets.delete(socket._key);
      socket.nsp._remove(socket);
    }
  }

  #refuse(bridge: Bridge, admission: number, socket: Socket, error: ExtendedError): void {
    const data = error.data === undefined ? undefined : JSON.stringify(error.data);
    bridge.flushed.refuse(admission, String(error.message), data);
    bridge.sockets.delete(socket._key);
    socket.nsp._remove(socket);
  }

  // ---- Departure

  onDisconnect(bridge: Bridge, socket: Socket, departure: number, reason: string): void {
    try {
      // The client sent something that is no packet.
      if (reason === "forced close") socket._onError(new Error("invalid packet"));
    } finally {
      // In socket.io a packet that comes out of turn has no reason of its own.
      const given = reason === "forced server close" ? "forced close" : (reason as DisconnectReason);
      this.leave(bridge, socket, departure, given);
    }
  }

  /** Tells the listeners of sockets that have left at the server's own word. */
  departed(bridge: Bridge, departures: Departure[]): void {
    for (const { socket: key, departure, reason } of departures) {
      const socket = bridge.sockets.get(key);
      if (socket === undefined) bridge.depart(departure);
      else this.leave(bridge, socket, departure, reason as DisconnectReason);
    }
  }

  /** A socket leaves its namespace; `departure` is unset where the core does not know it yet. */
  leave(
    bridge: Bridge | undefined,
    socket: Socket,
    departure: number | undefined,
    reason: DisconnectReason,
  ): void {
    if (this.#server.opts.connectionStateRecovery && !reason.endsWith("namespace disconnect")) {
      this.#retained.set(socket._key, { data: socket.data });
    }
    socket._onClose(reason, () => {
      bridge?.sockets.delete(socket._key);
      if (departure !== undefined) socket.adapter._departing(socket, () => bridge?.depart(departure));
      socket.nsp._remove(socket);
    });
  }

  onForget(key: number): void {
    this.#retained.delete(key);
  }

  /** Nobody can come back any more. */
  clear(): void {
    this.#clients.clear();
    this.#retained.clear();
  }

  // ---- Connections

  /** What the sockets of one connection share. */
  clientOf(record: HandshakeRecord): Client {
    let client = this.#clients.get(record.engine);
    if (client === undefined) {
      const request = this.#server.engine._claim(record.tag) ?? makeRequest(record);
      client = new Client(this.#server, record, request);
      this.#clients.set(record.engine, client);
    }
    return client;
  }

  /** The last socket that knew of it has left. */
  forgetClient(client: Client): void {
    this.#clients.delete(client.id);
    this.#server.engine._drop(client._tag);
  }

  // ---- Requests and streams

  onResponse(tag: number, status: number, headers: string[], body: string | Buffer): void {
    this.#door.onResponse(tag, status, headers, body);
  }

  onResumeBody(tag: number): void {
    this.#door.onResumeBody(tag);
  }

  onStreamData(tag: number, chunk: Buffer): void {
    this.#door.onStreamData(tag, chunk);
  }

  onStreamEnd(tag: number): void {
    this.#door.onStreamEnd(tag);
  }
}
