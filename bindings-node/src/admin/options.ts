/** The options of `instrument`. */

import type { Cluster } from "node:cluster";
import os from "node:os";
import { InMemoryStore, isStore, type Store } from "./store";

/** Asks admin clients for a name and a password. */
export interface BasicAuthentication {
  type: "basic";
  username: string;
  /** The password's bcrypt hash. */
  password: string;
}

/** The options of `instrument`: those of `@socket.io/admin-ui`, and two more. */
export interface InstrumentOptions {
  /** The namespace to which admin clients connect. Default: `/admin`. */
  namespaceName: string;
  /** How admin clients log in; `false` lets everybody in. It must be given. */
  auth: false | BasicAuthentication;
  /** Whether commands of the UI are refused. Default: `false`. */
  readonly: boolean;
  /** What tells this server from others. Default: the machine's name, in a worker of `cluster` with the process's id. */
  serverId: string;
  /** Where the sessions of admin clients are kept. Default: in memory. */
  store: Store;
  /** Whether the UI shows each socket and event, or counters alone. Default: `NODE_ENV`, or `development`. */
  mode: "development" | "production";
  /** Milliseconds from one snapshot of the counters to the next, from 100 to 3 600 000. Default: 2000. */
  statsInterval: number;
  /** Whether the headers `cookie`, `authorization`, `proxy-authorization` and `x-api-key` are shown as they are. Default: `false`. */
  showSecrets: boolean;
}

/** The options with their defaults. */
export interface Settings extends Omit<InstrumentOptions, "mode"> {
  showsAll: boolean;
}

/** Reads the options. */
export function settingsOf(options: Partial<InstrumentOptions> = {}): Settings {
  checkAuth(options.auth);
  const { namespaceName = "/admin", mode, serverId, statsInterval = 2000 } = options;
  const { readonly = false, showSecrets = false, store = new InMemoryStore() } = options;
  check(typeof namespaceName === "string", "namespaceName", "a text", namespaceName);
  check(typeof readonly === "boolean", "readonly", "true or false", readonly);
  check(typeof showSecrets === "boolean", "showSecrets", "true or false", showSecrets);
  check(serverId === undefined || typeof serverId === "string", "serverId", "a text", serverId);
  check(mode === undefined || MODES.has(mode), "mode", "`development` or `production`", mode);
  check(isStore(store), "store", "an object with `doesSessionExist` and `saveSession`", store);
  const isInterval = typeof statsInterval === "number" && statsInterval >= 100 && statsInterval <= 3_600_000;
  check(isInterval, "statsInterval", "a number from 100 to 3600000", statsInterval);
  return {
    namespaceName,
    auth: options.auth as InstrumentOptions["auth"],
    readonly,
    serverId: serverId || defaultServerId(),
    store,
    showsAll: (mode ?? (process.env.NODE_ENV || "development")) === "development",
    statsInterval,
    showSecrets,
  };
}

const MODES = new Set(["development", "production"]);

function check(isValid: boolean, name: string, expected: string, given: unknown): void {
  if (!isValid) throw new TypeError(`option \`${name}\` must be ${expected}, not ${shown(given)}`);
}

function shown(given: unknown): string {
  return typeof given === "string" || typeof given === "number" ? JSON.stringify(given) : typeof given;
}

function checkAuth(auth: unknown): void {
  if (auth === undefined) {
    throw new Error("the `auth` option must be specified or explicitly set to `false`");
  }
  if (auth !== false && (auth as BasicAuthentication | null)?.type !== "basic") {
    throw new Error("invalid `auth` option, please check the documentation");
  }
}

function defaultServerId(): string {
  // Loaded only here, because few servers run in a cluster.
  const { isWorker }: Cluster = require("node:cluster");
  return isWorker ? `${os.hostname()}#${process.pid}` : os.hostname();
}
