/// <reference types="node" preserve="true" />
// biome-ignore-all lint/suspicious/noExplicitAny: the maps of events are the application's, with any arguments.
/** The types by which an application declares its events: the same names and meaning as in socket.io. */

import { EventEmitter } from "node:events";

/** Names of events and the functions that listen to them. */
export interface EventsMap {
  [event: string]: any;
}

/** Any event with any arguments: what is used when an application declares nothing. */
export interface DefaultEventsMap {
  [event: string]: (...args: any[]) => void;
}

/** The names of a map's events. */
export type EventNames<Events extends EventsMap> = keyof Events & (string | symbol);

/** The arguments of an event. */
export type EventParams<Events extends EventsMap, Event extends EventNames<Events>> = Parameters<
  Events[Event]
>;

/** The names of the server's own events and of the application's. */
export type ReservedOrUserEventNames<Reserved extends EventsMap, User extends EventsMap> =
  | EventNames<Reserved>
  | EventNames<User>;

/** The listener that belongs to such a name. */
export type ReservedOrUserListener<
  Reserved extends EventsMap,
  User extends EventsMap,
  Event extends ReservedOrUserEventNames<Reserved, User>,
> = UntypedIfNever<
  Event extends EventNames<Reserved> ? Reserved[Event] : Event extends EventNames<User> ? User[Event] : never
>;

/** Every event can be listened to, also one whose declaration the compiler cannot follow. */
type UntypedIfNever<Listener> = [Listener] extends [never]
  ? (...args: any[]) => void | Promise<void>
  : Listener;

/** The last type of a tuple. */
export type Last<Tuple extends readonly unknown[]> = Tuple extends readonly [...unknown[], infer Tail]
  ? Tail
  : Tuple extends ReadonlyArray<infer Element>
    ? Element
    : never;

/** A tuple without its last type. */
export type AllButLast<Tuple extends any[]> = Tuple extends [...infer Head, any] ? Head : any[];

type IsAny<T> = 0 extends 1 & T ? true : false;

type FunctionParameters<T> = T extends (...args: infer Parameters) => any ? Parameters : never;

type LooseLast<Listener> = Last<FunctionParameters<Listener>>;

/** Whether nothing is known of an event's arguments, or of the last one. */
type IsUntyped<Listener> =
  IsAny<Listener> extends true
    ? true
    : FunctionParameters<Listener> extends never[]
      ? false
      : IsAny<LooseLast<Listener>>;

/** Whether an event's last argument is an acknowledgement. */
type Asks<Listener> =
  IsUntyped<Listener> extends true
    ? "maybe"
    : FunctionParameters<Listener> extends never[]
      ? "no"
      : LooseLast<Listener> extends (...args: any[]) => any
        ? "yes"
        : "no";

/** The names of the events whose last argument is an acknowledgement. */
export type EventNamesWithAck<
  Events extends EventsMap,
  Name extends EventNames<Events> = EventNames<Events>,
> = {
  [K in Name]: Asks<Events[K]> extends "yes" | "maybe" ? K : never;
}[Name];

/** The names of the events that want no answer: what goes to many sockets at once, none of which is asked. */
export type EventNamesWithoutAck<
  Events extends EventsMap,
  Name extends EventNames<Events> = EventNames<Events>,
> = Name extends unknown ? (Asks<Events[Name]> extends "no" | "maybe" ? Name : never) : never;

/** The names of the events whose acknowledgement begins with an error, as it does after `timeout()`. */
export type EventNamesWithError<
  Events extends EventsMap,
  Name extends EventNamesWithAck<Events> = EventNamesWithAck<Events>,
> = {
  [K in Name]: IsUntyped<Events[K]> extends true
    ? K
    : FunctionParameters<LooseLast<Events[K]>>[0] extends Error
      ? K
      : never;
}[Name];

/** The events that want no answer. */
export type RemoveAcknowledgements<Events extends EventsMap> = {
  [K in EventNamesWithoutAck<Events>]: Events[K];
};

/** The first of an acknowledgement's arguments that is no error. */
export type FirstNonErrorTuple<Arguments extends unknown[]> = Arguments[0] extends Error
  ? Arguments[1]
  : Arguments[0];

/** What an acknowledgement brings. */
export type FirstNonErrorArg<Ack> = Ack extends (...args: infer Arguments) => any
  ? FirstNonErrorTuple<Arguments>
  : any;

/** What the acknowledgement of an event brings. */
export type AckValue<Listener> = FirstNonErrorArg<LooseLast<Listener>>;

type WithError<Arguments extends any[]> = {
  [K in keyof Arguments]: Arguments[K] extends (...args: infer Parameters) => infer Result
    ? Parameters[0] extends Error
      ? Arguments[K]
      : (err: Error, ...args: Parameters) => Result
    : Arguments[K];
};

/** A list of each of a tuple's types. */
export type MultiplyArray<Tuple extends unknown[]> = { [K in keyof Tuple]: Tuple[K][] };

type WithManyAnswers<Arguments extends any[]> = {
  [K in keyof Arguments]: Arguments[K] extends (...args: infer Parameters) => infer Result
    ? Parameters extends [Error, ...infer Rest]
      ? (err: Error, ...args: FirstOf<MultiplyArray<Rest>>) => Result
      : (...args: FirstOf<MultiplyArray<Parameters>>) => Result
    : Arguments[K];
};

/** Of a list of unknown length there is no first type, and then any function will do. */
type FirstOf<Tuple extends any[]> = Tuple extends [infer Head, ...any[]]
  ? [Head]
  : Tuple extends []
    ? []
    : never;

/** Events whose acknowledgements get an error first, as after `timeout()`. */
export type DecorateAcknowledgements<Events> = {
  [K in keyof Events]: Events[K] extends (...args: infer Arguments) => infer Result
    ? (...args: WithError<Arguments>) => Result
    : Events[K];
};

/** Events whose acknowledgements get the list of all clients' answers. */
export type DecorateAcknowledgementsWithMultipleResponses<Events> = {
  [K in keyof Events]: Events[K] extends (...args: infer Arguments) => infer Result
    ? (...args: WithManyAnswers<Arguments>) => Result
    : Events[K];
};

/** Both of these. */
export type DecorateAcknowledgementsWithTimeoutAndMultipleResponses<Events> = {
  [K in keyof Events]: Events[K] extends (...args: infer Arguments) => infer Result
    ? (...args: WithManyAnswers<WithError<Arguments>>) => Result
    : Events[K];
};

/** What emits events whose names and arguments the compiler checks. */
export interface TypedEventBroadcaster<EmitEvents extends EventsMap> {
  emit<Event extends EventNames<EmitEvents>>(event: Event, ...args: EventParams<EmitEvents, Event>): boolean;
}

/** An event emitter whose names and arguments the compiler checks. */
export abstract class StrictEventEmitter<
    ListenEvents extends EventsMap,
    EmitEvents extends EventsMap,
    ReservedEvents extends EventsMap = Record<never, never>,
  >
  extends EventEmitter
  implements TypedEventBroadcaster<EmitEvents>
{
  override on<Event extends ReservedOrUserEventNames<ReservedEvents, ListenEvents>>(
    event: Event,
    listener: ReservedOrUserListener<ReservedEvents, ListenEvents, Event>,
  ): this {
    return super.on(event as string, listener);
  }

  override once<Event extends ReservedOrUserEventNames<ReservedEvents, ListenEvents>>(
    event: Event,
    listener: ReservedOrUserListener<ReservedEvents, ListenEvents, Event>,
  ): this {
    return super.once(event as string, listener);
  }

  override emit<Event extends EventNames<EmitEvents>>(
    event: Event,
    ...args: EventParams<EmitEvents, Event>
  ): boolean {
    return super.emit(event as string, ...args);
  }

  override listeners<Event extends ReservedOrUserEventNames<ReservedEvents, ListenEvents>>(
    event: Event,
  ): ReservedOrUserListener<ReservedEvents, ListenEvents, Event>[] {
    return super.listeners(event as string) as ReservedOrUserListener<ReservedEvents, ListenEvents, Event>[];
  }

  /** Calls the listeners for one of the server's own events. */
  protected emitReserved<Event extends EventNames<ReservedEvents>>(
    event: Event,
    ...args: EventParams<ReservedEvents, Event>
  ): boolean {
    return super.emit(event as string, ...args);
  }

  /** Calls the listeners for an event of which the compiler knows nothing. */
  protected emitUntyped(event: string, ...args: any[]): boolean {
    return super.emit(event, ...args);
  }
}
