/** Clients connect and disconnect, and the core asks whether they may. */

import type { RestoredSession } from "./adapter";
import { type Claim, claimOf, findSession, keepSession, newSecret, resume } from "./adapter-sessions";
import type { Bridge, ClientHandler, ConnectRequest } from "./bridge";
import { Client } from "./client";
import { debug, logReceived, logs } from "./debug";
import { type EngineSocket, transportError } from "./engine-socket";
import type { HandshakeRecord } from "./handshake";
import type { ExtendedError, Namespace } from "./namespace";
import type { DisconnectedSocket } from "./native";
import { PacketType } from "./parser";
import { runAll } from "./run-all";
import type { Server } from "./server";
import { type DisconnectReason, Socket } from "./socket";

/** Connects and disconnects the sockets of one server, and answers the core's questions about clients. */
export class ConnectionHandler implements ClientHandler {
  readonly #server: Server;
  #clients = new WeakMap<EngineSocket, Client>();
  /** Sockets whose sessions adapters look for, with their namespaces. */
  readonly #restoring = new Map<number, Namespace>();
  /** The data of sockets whose clients may come back. */
  readonly #retained = new Map<number, { data: unknown }>();

  constructor(server: Server) {
    this.#server = server;
  }

  // ---- Questions

  onAskNamespace(bridge: Bridge, question: number, name: string, auth: object): void {
    this.#admitNamespace(name, auth, (exists) => {
      if (!exists) debug.client("creation of namespace %s was denied", name);
      const isAwaited = bridge.flushed.answerNamespace(question, exists);
      if (!isAwaited) this.#tidy(bridge, name);
    });
  }

  /** Asks the application's functions. One that throws says no: what clients send must not end the process. */
  #admitNamespace(name: string, auth: object, answer: (exists: boolean) => void): void {
    let isAnswered = false;
    const answerOnce = (exists: boolean) => {
      if (isAnswered) return;
      isAnswered = true;
      answer(exists);
    };
    try {
      this.#server._admitNamespace(name, auth, answerOnce);
    } catch (error) {
      // What follows from an answer may throw, too.
      if (isAnswered) throw error;
      answerOnce(false);
    }
  }

  // ---- Connect

  onConnect(bridge: Bridge, key: number, connect: ConnectRequest): void {
    // The server was closed meanwhile; a record of the client's end follows.
    if (bridge !== this.#server._bridge) return;
    const [name, id, previous, auth] = connect;
    if (logs.packets) logReceived(PacketType.Connect, name, auth);
    debug.client("connecting to namespace %s", name);
    const namespace = this.#server._nsps.get(name);
    if (namespace === undefined) {
      // It was removed with its last socket, just before this one.
      this.#admitNamespace(name, auth, (exists) => {
        if (exists && bridge.native.isPending(key)) {
          this.onConnect(bridge, key, connect);
          return;
        }
        bridge.parser?.refuseNamespace(bridge, key, name);
        bridge.flushed.refuse(key, "Invalid namespace", undefined);
        this.#tidy(bridge, name);
      });
      return;
    }
    debug.namespace("adding socket to nsp %s", name);
    if (namespace._keepsSessions) {
      const claim = claimOf(auth);
      if (claim === undefined) this.#identify(bridge, namespace, key, connect, undefined);
      else void this.#restore(bridge, namespace, key, connect, claim);
      return;
    }
    const restored = previous === 0 ? undefined : (this.#retained.get(previous) ?? {});
    if (restored !== undefined) debug.namespace("connection state recovered for sid %s", id);
    const socket = this.#expect(bridge, new Socket(namespace, key, id, auth, restored));
    this.#runMiddleware(bridge, socket, previous);
  }

  /** A socket's client waits to be let in. */
  #expect(bridge: Bridge, socket: Socket): Socket {
    bridge.sockets.set(socket._key, socket);
    socket.nsp._preConnectSockets.set(socket.id, socket);
    return socket;
  }

  /** The adapter may have kept the session that a client claims. */
  async #restore(
    bridge: Bridge,
    namespace: Namespace,
    key: number,
    connect: ConnectRequest,
    claim: Claim,
  ): Promise<void> {
    this.#restoring.set(key, namespace);
    namespace._nRestoring += 1;
    const session = await findSession(namespace, claim);
    if (this.#endRestoring(key)) this.#identify(bridge, namespace, key, connect, session);
  }

  /** Returns whether somebody was still waiting. */
  #endRestoring(key: number): boolean {
    const namespace = this.#restoring.get(key);
    if (namespace === undefined) return false;
    this.#restoring.delete(key);
    namespace._nRestoring -= 1;
    return true;
  }

  /** Gives a client its former id, or a secret by which it can ask for the new one again. */
  #identify(
    bridge: Bridge,
    namespace: Namespace,
    key: number,
    [, id, , auth]: ConnectRequest,
    session: RestoredSession | undefined,
  ): void {
    const { sid, pid } = session ?? { sid: id, pid: newSecret() };
    const identified = bridge.flushed.identify(key, sid, pid);
    // The client has gone, of which a record tells.
    if (identified === 0) return;
    const restored = session && { data: session.data };
    const socket = this.#expect(bridge, new Socket(namespace, identified, sid, auth, restored));
    socket.pid = pid;
    if (session !== undefined) {
      debug.namespace("connection state recovered for sid %s", sid);
      resume(bridge, socket, session);
    }
    this.#runMiddleware(bridge, socket, 0);
  }

  #runMiddleware(bridge: Bridge, socket: Socket, previous: number): void {
    const namespace = socket.nsp;
    const skips = this.#server.opts.connectionStateRecovery?.skipMiddlewares !== false;
    if (namespace._fns.length === 0 || (socket.recovered && skips)) {
      this.#admit(bridge, socket, previous);
      return;
    }
    let isDecided = false;
    const decide = (error?: ExtendedError) => {
      // A middleware may call `next` twice by mistake.
      if (isDecided) return;
      isDecided = true;
      process.nextTick(() => {
        if (error) this.#refuse(bridge, socket, error);
        else this.#admit(bridge, socket, previous);
      });
    };
    try {
      namespace._run(socket, decide);
    } catch (error) {
      // What a middleware throws is an unhandled rejection in socket.io, where an async function calls it.
      void Promise.reject(error);
    }
  }

  #admit(bridge: Bridge, socket: Socket, previous: number): void {
    bridge.parser?.welcome(socket);
    if (bridge.flushed.accept(socket._key)) {
      bridge.parser?.joined(socket);
      this.#retained.delete(previous);
      debug.socket("socket connected - writing packet");
      debug.socket("join room %s", socket.id);
      bridge.drainHttp();
      socket.nsp._connect(socket);
    } else {
      debug.namespace("next called after client was closed - ignoring socket");
      this.#withdraw(bridge, socket);
    }
  }

  #refuse(bridge: Bridge, socket: Socket, error: ExtendedError): void {
    debug.namespace("middleware error, sending CONNECT_ERROR packet to the client");
    socket._keepRecord();
    try {
      bridge.parser?.refuse(socket, error);
      const data =
        error.data === undefined || bridge.parser !== undefined ? undefined : JSON.stringify(error.data);
      bridge.flushed.refuse(socket._key, String(error.message ?? ""), data);
      bridge.drainHttp();
    } finally {
      bridge.sockets.delete(socket._key);
      socket.nsp._turnAway(socket);
    }
  }

  /**
   * A client has gone before it was accepted or refused. The number is 0 if its namespace was still being decided on.
   */
  onConnectAborted(bridge: Bridge, key: number, namespace: string): void {
    const socket = bridge.sockets.get(key);
    this.#endRestoring(key);
    if (socket !== undefined) this.#withdraw(bridge, socket);
    else bridge.commands.release(key);
    this.#tidy(bridge, namespace);
  }

  #withdraw(bridge: Bridge, socket: Socket): void {
    socket._keepRecord();
    bridge.sockets.delete(socket._key);
    bridge.commands.release(socket._key);
    socket.nsp._turnAway(socket);
  }

  /**
   * Removes a namespace that was created for a client, or kept by the core for it, if the client did not connect after
   * all.
   */
  #tidy(bridge: Bridge, name: string): void {
    const namespace = this.#server._nsps.get(name);
    if (namespace === undefined) bridge.flushed.removeNamespace(name, undefined);
    else namespace._removeIfEmpty();
  }

  // ---- Disconnect

  onDisconnect(bridge: Bridge, socket: Socket, reason: string): void {
    if (reason === "client namespace disconnect") debug.socket("got disconnect packet");
    try {
      // The client sent an invalid packet.
      if (reason === "forced close")
        socket._onError(new Error(bridge.native.fault(socket._key) ?? "invalid packet"));
    } finally {
      const fault = reason === "transport error" ? bridge.native.fault(socket._key) : null;
      this.disconnect(bridge, socket, reasonOf(reason), fault === null ? undefined : transportError(fault));
    }
  }

  /** Calls the listeners of sockets that the server itself disconnected. */
  disconnected(bridge: Bridge, sockets: DisconnectedSocket[]): void {
    bridge.drainHttp();
    const disconnectOne = ({ socket: key, reason }: DisconnectedSocket) => {
      const socket = bridge.sockets.get(key);
      if (socket === undefined) bridge.commands.release(key);
      else this.disconnect(bridge, socket, reasonOf(reason));
    };
    runAll(sockets.map((one) => () => disconnectOne(one)));
  }

  /** A socket is out of its namespace: its listeners are called. */
  disconnect(
    bridge: Bridge | undefined,
    socket: Socket,
    reason: DisconnectReason,
    description?: Error,
  ): void {
    debug.socket("closing socket - reason %s", reason);
    const isLost = !reason.endsWith("namespace disconnect") && bridge === this.#server._bridge;
    if (this.#server.opts.connectionStateRecovery && isLost && socket.nsp._coreRecovers) {
      debug.socket("connection state recovery is enabled for sid %s", socket.id);
      this.#retained.set(socket._key, { data: socket.data });
    }
    const release = () => {
      bridge?.sockets.delete(socket._key);
      bridge?.parser?.left(socket);
      runAll([
        () => keepSession(socket, reason),
        () => socket.nsp._disconnecting(socket, () => bridge?.commands.release(socket._key)),
        () => socket.nsp._remove(socket),
      ]);
    };
    socket._onClose(reason, description, release);
  }

  onForget(key: number): void {
    this.#retained.delete(key);
  }

  /** The server is closed: no client can recover its session. */
  clear(): void {
    for (const key of this.#restoring.keys()) this.#endRestoring(key);
    this.#retained.clear();
    this.#clients = new WeakMap();
  }

  // ---- Connections

  /** What the sockets of one connection share. */
  clientOf(record: HandshakeRecord): Client {
    const conn = this.#server.engine._socketOf(record);
    let client = this.#clients.get(conn);
    if (client === undefined) {
      client = new Client(this.#server, conn);
      this.#clients.set(conn, client);
    }
    return client;
  }

  /** How many objects are kept, by kind; for tests. */
  _held(): Record<string, number> {
    return { retained: this.#retained.size, restoring: this.#restoring.size };
  }
}

/** socket.io has no reason of its own for a packet that is out of order. */
function reasonOf(reason: string): DisconnectReason {
  return reason === "forced server close" ? "forced close" : (reason as DisconnectReason);
}
