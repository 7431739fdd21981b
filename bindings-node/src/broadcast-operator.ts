// biome-ignore-all lint/suspicious/noExplicitAny: the arguments of events are the application's.
/** Many sockets at once, chosen by rooms. */

import { errorOf, timeoutOf } from "./ack";
import type { Adapter } from "./adapter";
import type { Broadcasting } from "./broadcaster";
import { Flag } from "./native";
import { refuseReserved } from "./reserved";
import type { Socket } from "./socket";
import type {
  AckValue,
  AllButLast,
  DecorateAcknowledgements,
  DecorateAcknowledgementsWithTimeoutAndMultipleResponses,
  EventNames,
  EventNamesWithError,
  EventParams,
  EventsMap,
} from "./types";

/** How a broadcast is sent. */
export interface BroadcastFlags {
  volatile?: boolean;
  compress?: boolean;
  local?: boolean;
  timeout?: number;
}

/** An error with the answers that had come before it. */
export type AckError = Error & { responses: any[] };

/** Sockets of a namespace. Every modifier returns a new operator and leaves this one as it is. */
export class BroadcastOperator<EmitEvents extends EventsMap, SocketData>
  implements Broadcasting<EmitEvents, EmitEvents, DecorateAcknowledgements<EmitEvents>, SocketData>
{
  constructor(
    private readonly adapter: Adapter,
    private readonly rooms: ReadonlySet<string> = NO_ROOMS,
    private readonly exceptRooms: ReadonlySet<string> = NO_ROOMS,
    private readonly flags: Readonly<BroadcastFlags> = {},
  ) {}

  to(room: string | string[]): BroadcastOperator<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter, extend(this.rooms, room), this.exceptRooms, this.flags);
  }

  in(room: string | string[]): BroadcastOperator<EmitEvents, SocketData> {
    return this.to(room);
  }

  except(room: string | string[]): BroadcastOperator<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter, this.rooms, extend(this.exceptRooms, room), this.flags);
  }

  compress(compress: boolean): BroadcastOperator<EmitEvents, SocketData> {
    return this.#with({ compress });
  }

  get volatile(): BroadcastOperator<EmitEvents, SocketData> {
    return this.#with({ volatile: true });
  }

  get local(): BroadcastOperator<EmitEvents, SocketData> {
    return this.#with({ local: true });
  }

  timeout(timeout: number): BroadcastOperator<DecorateAcknowledgements<EmitEvents>, SocketData> {
    return this.#with({ timeout }) as any;
  }

  #with(flags: BroadcastFlags): BroadcastOperator<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter, this.rooms, this.exceptRooms, { ...this.flags, ...flags });
  }

  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean {
    refuseReserved(ev);
    const data: unknown[] = [ev, ...args];
    const ack = data[data.length - 1];
    if (typeof ack === "function") {
      data.pop();
      this.#emitWithAck(data, ack as (error: Error | null, answers: any[]) => void);
      return true;
    }
    this.adapter.nsp._broadcast(this.#selection, this.#bits, data);
    return true;
  }

  #emitWithAck(data: unknown[], ack: (error: Error | null, answers: any[]) => void): void {
    const { nsp } = this.adapter;
    nsp._notifyOutgoing(this.#selection, data);
    const bridge = nsp.server._bridge;
    if (bridge === undefined || nsp._number === -1) {
      process.nextTick(ack, null, []);
      return;
    }
    const timeout = timeoutOf(this.flags.timeout);
    bridge.commands.broadcastWithAck(
      nsp._number,
      this.#selection,
      this.#bits,
      timeout,
      data,
      nsp.name,
      (status, answers) => {
        const firsts = answers.map((values) => values[0]);
        ack.call(this, errorOf(status), firsts);
      },
    );
  }

  /** Sends an event and resolves with the list of answers; the error has those that came in time. */
  emitWithAck<Ev extends EventNamesWithError<EmitEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<EmitEvents, Ev>>
  ): Promise<AckValue<EmitEvents[Ev]>> {
    return new Promise((resolve, reject) => {
      const answer = (error: AckError | null, responses: any) => {
        if (error) reject(Object.assign(error, { responses }));
        else resolve(responses);
      };
      this.emit(ev, ...([...args, answer] as any));
    });
  }

  allSockets(): Promise<Set<string>> {
    return this.adapter.sockets(new Set(this.rooms));
  }

  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]> {
    return this.adapter.fetchSockets(this.#selection) as unknown as Promise<
      RemoteSocket<EmitEvents, SocketData>[]
    >;
  }

  socketsJoin(room: string | string[]): void {
    this.adapter.addSockets(this.#selection, Array.isArray(room) ? room : [room]);
  }

  socketsLeave(room: string | string[]): void {
    this.adapter.delSockets(this.#selection, Array.isArray(room) ? room : [room]);
  }

  disconnectSockets(close = false): void {
    const { nsp } = this.adapter;
    const bridge = nsp.server._bridge;
    if (bridge === undefined || nsp._number === -1) return;
    bridge.parser?.dismiss(nsp._select(this.#selection), close);
    const core = bridge.flushed;
    const rooms = bridge.rooms.listToCore(this.rooms);
    const except = bridge.rooms.listToCore(this.exceptRooms);
    const sockets = core.disconnectMany(nsp._number, rooms, except, close);
    nsp.server._connectionHandler.disconnected(bridge, sockets);
  }

  get #selection() {
    return { rooms: this.rooms, except: this.exceptRooms };
  }

  get #bits(): number {
    const { volatile, local, compress } = this.flags;
    return (
      (volatile ? Flag.Volatile : 0) | (local ? Flag.Local : 0) | (compress === false ? Flag.Uncompressed : 0)
    );
  }
}

/** A socket as `fetchSockets` gives it. */
export interface RemoteSocket<EmitEvents extends EventsMap, SocketData>
  extends Pick<Socket<any, EmitEvents, any, SocketData>, "id" | "handshake" | "rooms" | "data"> {
  /** Sends an event. */
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  /** The next event's answer is waited for so many milliseconds. */
  timeout(
    timeout: number,
  ): BroadcastOperator<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<EmitEvents>, SocketData>;
  /** Joins one room or several. */
  join(room: string | string[]): void;
  /** Leaves a room. */
  leave(room: string): void;
  /** Puts the client out of the namespace or, with `true`, ends its whole connection. */
  disconnect(close?: boolean): this;
}

/** Never changed: a change makes a new set. */
const NO_ROOMS: ReadonlySet<string> = new Set();

function extend(rooms: ReadonlySet<string>, more: string | string[]): Set<string> {
  const extended = new Set(rooms);
  if (Array.isArray(more)) for (const room of more) extended.add(room);
  else extended.add(more);
  return extended;
}
