// biome-ignore-all lint/suspicious/noExplicitAny: the arguments of events are the application's.
/**
 * What servers, namespaces and broadcast operators have in common: choosing sockets, and doing something with them.
 */

import type { BroadcastOperator, RemoteSocket } from "./broadcast-operator";
import {
  type AckValue,
  type AllButLast,
  type DecorateAcknowledgementsWithMultipleResponses,
  type DecorateAcknowledgementsWithTimeoutAndMultipleResponses,
  type EventNames,
  type EventNamesWithAck,
  type EventNamesWithoutAck,
  type EventParams,
  type EventsMap,
  type RemoveAcknowledgements,
  StrictEventEmitter,
} from "./types";

/**
 * A choice of sockets. `EmitEvents` are the events that one socket takes; `Chained` and `Timed` are the same events for
 * the operators that are returned, without and with a timeout: their acks bring the answers of many sockets.
 */
export interface Broadcasting<
  EmitEvents extends EventsMap,
  Chained extends EventsMap,
  Timed extends EventsMap,
  SocketData,
> {
  /** Only the sockets of one room or several, in addition to those chosen before. */
  to(room: string | string[]): BroadcastOperator<Chained, SocketData>;
  /** The same as `to`. */
  in(room: string | string[]): BroadcastOperator<Chained, SocketData>;
  /** Leaves out the sockets of one room or several. */
  except(room: string | string[]): BroadcastOperator<Chained, SocketData>;
  /** Whether the event may be compressed. */
  compress(compress: boolean): BroadcastOperator<Chained, SocketData>;
  /** The event is dropped for clients that are not ready to take it. */
  readonly volatile: BroadcastOperator<Chained, SocketData>;
  /** The event stays on this node of a cluster. */
  readonly local: BroadcastOperator<Chained, SocketData>;
  /** The answers are waited for so many milliseconds. */
  timeout(timeout: number): BroadcastOperator<Timed, SocketData>;
  /** The ids of the sockets. */
  allSockets(): Promise<Set<string>>;
  /** The sockets. */
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]>;
  /** Makes the sockets join one room or several. */
  socketsJoin(room: string | string[]): void;
  /** Makes the sockets leave one room or several. */
  socketsLeave(room: string | string[]): void;
  /** Disconnects the sockets or, with `true`, ends their whole connections. */
  disconnectSockets(close?: boolean): void;
}

/** The operator that servers and namespaces give out: acks bring the answers of many. */
export type Broadcast<EmitEvents extends EventsMap, SocketData> = BroadcastOperator<
  DecorateAcknowledgementsWithMultipleResponses<EmitEvents>,
  SocketData
>;

/** Sends what it emits to all of its sockets: a server or a namespace. */
export abstract class Broadcaster<
    EmitEvents extends EventsMap,
    ServerSideEvents extends EventsMap,
    ReservedEvents extends EventsMap,
    SocketData,
  >
  extends StrictEventEmitter<ServerSideEvents, RemoveAcknowledgements<EmitEvents>, ReservedEvents>
  implements
    Broadcasting<
      EmitEvents,
      DecorateAcknowledgementsWithMultipleResponses<EmitEvents>,
      DecorateAcknowledgementsWithTimeoutAndMultipleResponses<EmitEvents>,
      SocketData
    >
{
  /** Where the methods below are implemented: in a new operator or, for a server, in its main namespace. */
  protected abstract get _target(): BroadcastOperator<any, SocketData>;

  to(room: string | string[]): Broadcast<EmitEvents, SocketData> {
    return this._target.to(room);
  }

  in(room: string | string[]): Broadcast<EmitEvents, SocketData> {
    return this._target.in(room);
  }

  except(room: string | string[]): Broadcast<EmitEvents, SocketData> {
    return this._target.except(room);
  }

  compress(compress: boolean): Broadcast<EmitEvents, SocketData> {
    return this._target.compress(compress);
  }

  get volatile(): Broadcast<EmitEvents, SocketData> {
    return this._target.volatile;
  }

  get local(): Broadcast<EmitEvents, SocketData> {
    return this._target.local;
  }

  timeout(
    timeout: number,
  ): BroadcastOperator<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<EmitEvents>, SocketData> {
    return this._target.timeout(timeout);
  }

  /** Sends an event to all sockets. One that wants answers goes through `timeout()` or `emitWithAck()`. */
  override emit<Ev extends EventNamesWithoutAck<EmitEvents>>(
    ev: Ev,
    ...args: EventParams<EmitEvents, Ev>
  ): boolean {
    return this._target.emit(ev, ...args);
  }

  /** Sends an event to all sockets and resolves with their answers. */
  emitWithAck<Ev extends EventNamesWithAck<EmitEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<EmitEvents, Ev>>
  ): Promise<AckValue<EmitEvents[Ev]>[]> {
    return this._target.emitWithAck(ev, ...args) as Promise<any>;
  }

  /** Sends an event named `message` to all sockets. */
  send(...args: EventParams<EmitEvents, "message">): this {
    this.emit("message" as any, ...(args as any));
    return this;
  }

  /** The same as `send`. */
  write(...args: EventParams<EmitEvents, "message">): this {
    return this.send(...args);
  }

  /** Sends an event to the other servers of the cluster. */
  abstract serverSideEmit<Ev extends EventNames<ServerSideEvents>>(
    ev: Ev,
    ...args: EventParams<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<ServerSideEvents>, Ev>
  ): boolean;

  /** The same; resolves with the answers of the other servers. */
  serverSideEmitWithAck<Ev extends EventNamesWithAck<ServerSideEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<ServerSideEvents, Ev>>
  ): Promise<AckValue<ServerSideEvents[Ev]>[]> {
    return new Promise((resolve, reject) => {
      const answer = (error: Error | null, responses: any) =>
        error ? reject(Object.assign(error, { responses })) : resolve(responses);
      this.serverSideEmit(ev, ...([...args, answer] as any));
    });
  }

  allSockets(): Promise<Set<string>> {
    return this._target.allSockets();
  }

  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]> {
    return this._target.fetchSockets();
  }

  socketsJoin(room: string | string[]): void {
    this._target.socketsJoin(room);
  }

  socketsLeave(room: string | string[]): void {
    this._target.socketsLeave(room);
  }

  disconnectSockets(close = false): void {
    this._target.disconnectSockets(close);
  }
}
