/** The options of an Engine.IO server, in engine.io's names. */

import type { CookieOptions, ServerOptions } from "./options";

/** The options of the Socket.IO server that are the engine's. */
type Shared = Pick<
  ServerOptions,
  | "transports"
  | "allowUpgrades"
  | "pingInterval"
  | "pingTimeout"
  | "upgradeTimeout"
  | "maxHttpBufferSize"
  | "allowEIO3"
  | "httpCompression"
  | "perMessageDeflate"
  | "wsEngine"
  | "limits"
  | "outbox"
>;

/** How an engine is attached to an HTTP server. */
export interface AttachOptions {
  /** The path under which the engine answers. Default `/engine.io`. */
  path: string;
  /** Whether the path ends with a slash. Default `true`. */
  addTrailingSlash: boolean;
  /** Whether upgrade requests that nobody answers are ended. Default `true`. */
  destroyUpgrade: boolean;
  /** Milliseconds before they are. Default 1 000. */
  destroyUpgradeTimeout: number;
}

/** The options of an Engine.IO server. */
export interface EngineOptions extends Shared {
  /** Decides whether a request may open a session. Default: every request may. */
  allowRequest?: ServerOptions["allowRequest"];
  /** Cross-origin rules, as npm's package `cors` takes them. Default `false`. */
  cors: ServerOptions["cors"] | false;
  /** The cookie with the session's id that a handshake sets. Default: none. */
  cookie?: CookieOptions | boolean;
  /** A message that is sent to every session first. Default: none. */
  initialPacket?: string | ArrayBufferView | ArrayBuffer;
  /**
   * Whether `listen` may serve its port with the core's own HTTP server, which is much faster for long-polling. It does
   * so while nothing needs Node's. Default `false`: applications may want what Node's server offers.
   */
  ownPort?: boolean;
}

/** The options that take effect when they are changed while the engine runs. */
export const CHANGEABLE: ReadonlySet<keyof EngineOptions> = new Set([
  "allowRequest",
  "cors",
  "cookie",
  "transports",
  "allowEIO3",
  "httpCompression",
  "pingInterval",
  "pingTimeout",
  "upgradeTimeout",
  "allowUpgrades",
  "maxHttpBufferSize",
] as const);

/** The options with what is not given, in an object of their own. */
export function engineDefaults(given: Partial<EngineOptions>): EngineOptions {
  const { cookie, perMessageDeflate } = given;
  const options: EngineOptions = {
    transports: ["polling", "websocket"],
    allowUpgrades: true,
    pingInterval: 25000,
    pingTimeout: 20000,
    upgradeTimeout: 10000,
    maxHttpBufferSize: 1e6,
    allowEIO3: false,
    httpCompression: { threshold: 1024 },
    cors: false,
    ...given,
  } as EngineOptions;
  if (cookie) {
    const own = cookie === true ? {} : cookie;
    options.cookie = { name: "io", path: "/", httpOnly: true, sameSite: "lax", ...own };
  }
  if (perMessageDeflate) {
    const own = perMessageDeflate === true ? {} : perMessageDeflate;
    options.perMessageDeflate = { threshold: 1024, ...own };
  }
  return options;
}
