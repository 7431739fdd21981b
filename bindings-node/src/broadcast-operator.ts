// biome-ignore-all lint/suspicious/noExplicitAny: the arguments of events are the application's.
/** Many sockets at once, chosen by rooms. */

import { errorOf, timeoutOf } from "./ack";
import { areTimersReplaced } from "./ack-timer";
import { Adapter, type AnyAdapter, type BroadcastFlags, type BroadcastOptions } from "./adapter";
import { gatherAcks } from "./adapter-acks";
import type { Broadcasting } from "./broadcaster";
import { bitsOf, type Selection } from "./commands";
import type { Handshake } from "./handshake";
import { PacketType } from "./parser";
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

/** An error with the answers that had come before it. */
export type AckError = Error & { responses: any[] };

/** Sockets of a namespace. Every modifier returns a new operator and leaves this one as it is. */
export class BroadcastOperator<EmitEvents extends EventsMap, SocketData>
  implements Broadcasting<EmitEvents, EmitEvents, DecorateAcknowledgements<EmitEvents>, SocketData>
{
  constructor(
    private readonly adapter: AnyAdapter,
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
    const { adapter } = this;
    if (isPlain(adapter, "broadcast")) adapter.nsp._broadcast(this.#selection, bitsOf(this.flags), data);
    else adapter.broadcast({ type: PacketType.Event, data }, this.#options);
    return true;
  }

  #emitWithAck(data: unknown[], ack: (error: Error | null, answers: any) => void): void {
    const { adapter } = this;
    const listener = (error: Error | null, answers: unknown) => ack.call(this, error, answers);
    if (!isPlain(adapter, "broadcastWithAck") || areTimersReplaced()) {
      gatherAcks(adapter, data, this.#options, listener);
      return;
    }
    const { nsp } = adapter;
    nsp._notifyOutgoing(this.#selection, data);
    const bridge = nsp.server._bridge;
    if (bridge === undefined || nsp._number === -1) {
      process.nextTick(listener, null, []);
      return;
    }
    bridge.commands.broadcastWithAck(
      nsp._number,
      this.#selection,
      bitsOf(this.flags),
      timeoutOf(this.flags.timeout),
      data,
      nsp.name,
      (status, answers) => {
        const firsts = answers.map((values) => values[0]);
        listener(errorOf(status), firsts);
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

  async fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]> {
    const { adapter } = this;
    const sockets = await adapter.fetchSockets(this.#options);
    // Those of this process are there themselves.
    return sockets.map((socket) => (socket.server ? socket : new RemoteSocket(adapter, socket)));
  }

  socketsJoin(room: string | string[]): void {
    this.adapter.addSockets(this.#options, Array.isArray(room) ? room : [room]);
  }

  socketsLeave(room: string | string[]): void {
    this.adapter.delSockets(this.#options, Array.isArray(room) ? room : [room]);
  }

  disconnectSockets(close = false): void {
    this.adapter.disconnectSockets(this.#options, close);
  }

  get #selection(): Selection {
    return { rooms: this.rooms, except: this.exceptRooms };
  }

  /** Copies for an adapter, which may keep or change them. */
  get #options(): Required<BroadcastOptions> {
    return {
      rooms: new Set(this.rooms),
      except: new Set(this.exceptRooms),
      flags: { ...this.flags },
    };
  }
}

/** Whether nobody has replaced a method of this package's own adapter: what it would do is done directly. */
function isPlain(adapter: AnyAdapter, method: "broadcast" | "broadcastWithAck"): adapter is Adapter {
  return adapter[method] === Adapter.prototype[method];
}

/** A socket as adapters describe it to other servers. */
export interface SocketDetails<SocketData> {
  id: string;
  handshake: Handshake;
  rooms: string[];
  data: SocketData;
}

/** A socket as `fetchSockets` gives it: one of this server, or what is known of one of another. */
export class RemoteSocket<EmitEvents extends EventsMap, SocketData>
  implements Pick<Socket<any, EmitEvents, any, SocketData>, "id" | "handshake" | "rooms" | "data">
{
  readonly id: string;
  readonly handshake: Handshake;
  readonly rooms: Set<string>;
  readonly data: SocketData;
  private readonly operator: BroadcastOperator<EmitEvents, SocketData>;

  constructor(adapter: AnyAdapter, details: SocketDetails<SocketData>) {
    this.id = details.id;
    this.handshake = details.handshake;
    this.rooms = new Set(details.rooms);
    this.data = details.data;
    this.operator = new BroadcastOperator(adapter, new Set([this.id]), NO_ROOMS, {
      expectSingleResponse: true,
    });
  }

  /** Sends an event. */
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean {
    return this.operator.emit(ev, ...args);
  }

  /** The next event's answer is waited for so many milliseconds. */
  timeout(
    timeout: number,
  ): BroadcastOperator<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<EmitEvents>, SocketData> {
    return this.operator.timeout(timeout) as any;
  }

  /** Joins one room or several. */
  join(room: string | string[]): void {
    this.operator.socketsJoin(room);
  }

  /** Leaves a room. */
  leave(room: string): void {
    this.operator.socketsLeave(room);
  }

  /** Puts the client out of the namespace or, with `true`, ends its whole connection. */
  disconnect(close = false): this {
    this.operator.disconnectSockets(close);
    return this;
  }
}

/** Never changed: a change makes a new set. */
const NO_ROOMS: ReadonlySet<string> = new Set();

function extend(rooms: ReadonlySet<string>, more: string | string[]): Set<string> {
  const extended = new Set(rooms);
  if (Array.isArray(more)) for (const room of more) extended.add(room);
  else extended.add(more);
  return extended;
}
