// biome-ignore-all lint/suspicious/noExplicitAny: events have any arguments, as Node's own types say.
/** An event emitter that notices which of its events somebody listens to. */

import { EventEmitter } from "node:events";

type Listener = (...args: any[]) => void;

/**
 * Calls `_onListeners` whenever listeners were added or removed. Events `newListener` and `removeListener` would do the
 * same until the application removes all listeners, and these with them.
 */
export abstract class WatchedEmitter extends EventEmitter {
  /** Listeners of this event, or of any, were added or removed. */
  protected abstract _onListeners(event?: string | symbol): void;

  override on(event: string | symbol, listener: Listener): this {
    super.on(event, listener);
    this._onListeners(event);
    return this;
  }

  override addListener(event: string | symbol, listener: Listener): this {
    return this.on(event, listener);
  }

  override prependListener(event: string | symbol, listener: Listener): this {
    super.prependListener(event, listener);
    this._onListeners(event);
    return this;
  }

  override off(event: string | symbol, listener: Listener): this {
    super.removeListener(event, listener);
    this._onListeners(event);
    return this;
  }

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
