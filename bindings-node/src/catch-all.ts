// biome-ignore-all lint/suspicious/noExplicitAny: the arguments of events are the application's.
/** Listeners for every event, whatever its name. */

import { type EventsMap, StrictEventEmitter } from "./types";

/** A function that is called with an event's name and arguments, or with its arguments. */
export type Listener = (...args: any[]) => void;

/** An emitter of events that come in and go out, both of which can be listened to without naming them. */
export abstract class CatchAllEmitter<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ReservedEvents extends EventsMap,
> extends StrictEventEmitter<ListenEvents, EmitEvents, ReservedEvents> {
  _anyListeners: Listener[] | undefined = undefined;
  _anyOutgoingListeners: Listener[] | undefined = undefined;

  /** Called after listeners for outgoing events were added or removed. */
  protected abstract _onOutgoingListeners(): void;

  /** Adds a listener for every incoming event. */
  onAny(listener: Listener): this {
    this._anyListeners = [...(this._anyListeners ?? []), listener];
    return this;
  }

  /** The same, before the other ones. */
  prependAny(listener: Listener): this {
    this._anyListeners = [listener, ...(this._anyListeners ?? [])];
    return this;
  }

  /** Removes one such listener, or all. */
  offAny(listener?: Listener): this {
    this._anyListeners = without(this._anyListeners, listener);
    return this;
  }

  /** The list of such listeners. */
  listenersAny(): Listener[] {
    return this._anyListeners ?? [];
  }

  /** Adds a listener for every outgoing event. */
  onAnyOutgoing(listener: Listener): this {
    this.#setOutgoing([...(this._anyOutgoingListeners ?? []), listener]);
    return this;
  }

  /** The same, before the other ones. */
  prependAnyOutgoing(listener: Listener): this {
    this.#setOutgoing([listener, ...(this._anyOutgoingListeners ?? [])]);
    return this;
  }

  /** Removes one such listener, or all. */
  offAnyOutgoing(listener?: Listener): this {
    this.#setOutgoing(without(this._anyOutgoingListeners, listener));
    return this;
  }

  /** The list of such listeners. */
  listenersAnyOutgoing(): Listener[] {
    return this._anyOutgoingListeners ?? [];
  }

  #setOutgoing(listeners: Listener[] | undefined): void {
    this._anyOutgoingListeners = listeners;
    this._onOutgoingListeners();
  }

  /** Calls the listeners for incoming events. */
  protected _notifyIncoming(args: unknown[]): void {
    if (this._anyListeners === undefined) return;
    for (const listener of this._anyListeners.slice()) listener.apply(this, args);
  }

  /** Calls the listeners for outgoing events. */
  _notifyOutgoing(args: unknown[]): void {
    if (this._anyOutgoingListeners === undefined) return;
    for (const listener of this._anyOutgoingListeners.slice()) listener.apply(this, args);
  }
}

function without(listeners: Listener[] | undefined, listener: Listener | undefined): Listener[] | undefined {
  if (listeners === undefined || listener === undefined) return undefined;
  const at = listeners.indexOf(listener);
  const rest = listeners.filter((_, i) => i !== at);
  return rest.length > 0 ? rest : undefined;
}
