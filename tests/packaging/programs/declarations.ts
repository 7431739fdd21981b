// biome-ignore-all lint/suspicious/noExplicitAny: that is what applications write where they declare nothing.
// Compiled, never run: what others take from socket.io's own files. Its package lets only old resolution find them.

import type { Server } from "socket.io";
import type { Handshake, SocketReservedEventsMap } from "socket.io/dist/socket-types";
import {
  type AllButLast,
  type DecorateAcknowledgements,
  type DecorateAcknowledgementsWithMultipleResponses,
  type DecorateAcknowledgementsWithTimeoutAndMultipleResponses,
  type DefaultEventsMap,
  type EventNames,
  type EventNamesWithAck,
  type EventNamesWithError,
  type EventNamesWithoutAck,
  type EventParams,
  type EventsMap,
  type FirstNonErrorArg,
  type FirstNonErrorTuple,
  type Last,
  type MultiplyArray,
  type RemoveAcknowledgements,
  type ReservedOrUserEventNames,
  type ReservedOrUserListener,
  StrictEventEmitter,
  type TypedEventBroadcaster,
} from "socket.io/dist/typed-events";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <T extends true>(_: T | undefined = undefined): void => {};

interface Events {
  told: (n: number) => void;
  asked: (question: string, answer: (value: number, unit: string) => void) => void;
  timed: (answer: (error: Error, value: number) => void) => void;
  nothing: () => void;
}
interface Own {
  disconnect: (reason: string) => void;
}

holds<Equal<EventNames<Events>, "told" | "asked" | "timed" | "nothing">>();
holds<Equal<EventNamesWithAck<Events>, "asked" | "timed">>();
holds<Equal<EventNamesWithError<Events>, "timed">>();
holds<Equal<EventNamesWithoutAck<Events>, "told" | "nothing">>();
holds<Equal<keyof RemoveAcknowledgements<Events>, "told" | "nothing">>();
holds<Equal<EventNamesWithoutAck<DefaultEventsMap>, string>>();
holds<Equal<EventParams<Events, "told">, [n: number]>>();
holds<Equal<ReservedOrUserEventNames<Own, Events>, EventNames<Events> | "disconnect">>();
holds<Equal<ReservedOrUserListener<Own, Events, "disconnect">, (reason: string) => void>>();
holds<Equal<ReservedOrUserListener<Own, Events, "told">, (n: number) => void>>();
holds<Equal<[Last<[1, 2]>, AllButLast<[1, 2]>, MultiplyArray<[1, 2]>], [2, [1], [1[], 2[]]]>>();
holds<Equal<[FirstNonErrorTuple<[Error, 1]>, FirstNonErrorTuple<[1, 2]>], [1, 1]>>();
holds<Equal<FirstNonErrorArg<(error: Error, value: number) => void>, number>>();

type Parameters_<E, K extends keyof E> = E[K] extends (...args: infer P) => any ? P : never;
type Ack<E, K extends keyof E> = Parameters_<E, K> extends [...any[], infer A] ? A : never;
declare const timed: Ack<DecorateAcknowledgements<Events>, "asked">;
timed(new Error("late"), 1, "m");
declare const many: Ack<DecorateAcknowledgementsWithMultipleResponses<Events>, "asked">;
many([1, 2]);
declare const both: Ack<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<Events>, "asked">;
both(new Error("late"), [1, 2]);

export class Bus extends StrictEventEmitter<Events, Events, Own> implements TypedEventBroadcaster<Events> {
  leave(): boolean {
    return this.emitReserved("disconnect", "left") && this.emitUntyped("anything", 1);
  }
}
new Bus().on("told", (n) => n.toFixed()).once("disconnect", (reason) => reason.trim());
new Bus().emit("told", 1);
// @ts-expect-error there is no such event
new Bus().emit("unknown");

export interface Registered<L extends EventsMap, E extends EventsMap> {
  server: Server<L, E>;
  handshake: Handshake;
  own: SocketReservedEventsMap;
}
