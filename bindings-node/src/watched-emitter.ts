// biome-ignore-all lint/suspicious/noExplicitAny: events have any arguments, as Node's own types say.
/** An event emitter that notices which of its events somebody listens to. */

import { EventEmitter } from "node:events";

type Listener = (...args: any[]) => void;

/**
 * Calls `_onListeners` whenever listeners were added or removed. Events `newListener` and `removeListener` would do the
 * same until the application removes all listeners, and these with them.
 */
export abstract class WatchedEmitter<Events extends Record<keyof Events, any[]>> extends EventEmitter {
  /** Listeners of this event, or of any, were added or removed. */
  protected abstract _onListeners(event?: string | symbol): void;

  override on<Event extends keyof Events & string>(
    event: Event,
    listener: (...args: Events[Event]) => void,
  ): this;
  override on(event: string | symbol, listener: Listener): this;
  override on(event: string | symbol, listener: Listener): this {
    super.on(event, listener);
    this._onListeners(event);
    return this;
  }

  override once<Event extends keyof Events & string>(
    event: Event,
    listener: (...args: Events[Event]) => void,
  ): this;
  override once(event: string | symbol, listener: Listener): this;
  override once(event: string | symbol, listener: Listener): this {
    // It calls `on`.
    return super.once(event, listener);
  }

  override addListener<Event extends keyof Events & string>(
    event: Event,
    listener: (...args: Events[Event]) => void,
  ): this;
  override addListener(event: string | symbol, listener: Listener): this;
  override addListener(event: string | symbol, listener: Listener): this {
    return this.on(event, listener);
  }

  override prependListener<Event extends keyof Events & string>(
    event: Event,
    listener: (...args: Events[Event]) => void,
  ): this;
  override prependListener(event: string | symbol, listener: Listener): this;
  override prependListener(event: string | symbol, listener: Listener): this {
    super.prependListener(event, listener);
    this._onListeners(event);
    return this;
  }

  override off<Event extends keyof Events & string>(
    event: Event,
    listener: (...args: Events[Event]) => void,
  ): this;
  override off(event: string | symbol, listener: Listener): this;
  override off(event: string | symbol, listener: Listener): this {
    super.removeListener(event, listener);
    this._onListeners(event);
    return this;
  }

  override removeListener<Event extends keyof Events & string>(
    event: Event,
    listener: (...args: Events[Event]) => void,
  ): this;
  override removeListener(event: string | symbol, listener: Listener): this;
  override removeListener(event: string | symbol, listener: Listener): this {
    return this.off(event, listener);
  }

  override removeAllListeners(event?: string | symbol): this {
    if (event === undefined) super.removeAllListeners();
    else super.removeAllListeners(event);
    this._onListeners(event);
    return this;
  }
}
