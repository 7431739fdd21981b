/**
 * Forms of options that socket.io takes though its declarations do not have them, put into those that the table of options
 * knows. Applications use each of them: numbers from the environment, `cors: "*"`, `maxHttpBufferSize: Infinity`.
 */

import { corsMiddleware } from "./cors-by-request";
import type { CorsOptions, ServerOptions } from "./options";

const TIMES = ["pingInterval", "pingTimeout", "upgradeTimeout", "connectTimeout"];

/** The longest time of the table; nobody notices when a longer one is cut to it. */
const DAY_MS = 86_400_000;

/** The largest message of the table. More is asked for when any size shall do. */
const MAX_BYTES = 2 ** 30;

/** Transports of Socket.IO before 1.0, which socket.io passes over. */
const FORMER_TRANSPORTS = new Set([
  "flashsocket",
  "htmlfile",
  "xhr-multipart",
  "xhr-polling",
  "jsonp-polling",
  "json-polling",
]);

/** Returns the options in forms of the table. */
export function inTableForms(options: Record<string, unknown>): Record<string, unknown> {
  const hasMiddleware = corsMiddleware(options.cors as ServerOptions["cors"]) !== undefined;
  const forms: Record<string, unknown> = { ...options, cors: !hasMiddleware && corsRules(options.cors) };
  for (const name of TIMES) forms[name] = atMost(DAY_MS, options[name]);
  forms.maxHttpBufferSize = atMost(MAX_BYTES, options.maxHttpBufferSize);
  forms.transports = transportsOf(options.transports);
  forms.allowRequest = options.allowRequest ?? undefined;
  const recovery = options.connectionStateRecovery as Record<string, unknown> | undefined;
  if (typeof recovery === "object" && recovery !== null) {
    const duration = atMost(DAY_MS, recovery.maxDisconnectionDuration);
    forms.connectionStateRecovery = { ...recovery, maxDisconnectionDuration: duration };
  }
  return forms;
}

/** A number, also one in a text, and no more than this. What is none stays as it is, to be refused. */
function atMost(most: number, value: unknown): unknown {
  const number = numberOf(value);
  return typeof number === "number" && number > most ? most : number;
}

function numberOf(value: unknown): unknown {
  return typeof value === "string" && /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) : value;
}

/** A text names a transport, or several. */
function transportsOf(transports: unknown): unknown {
  if (typeof transports === "string") {
    const named = ["polling", "websocket"].filter((name) => transports.includes(name));
    return named.length > 0 ? named : transports;
  }
  if (!Array.isArray(transports)) return transports;
  return transports.filter((name) => !FORMER_TRANSPORTS.has(name));
}

/**
 * The cross-origin rules, with the reading of npm's package `cors`: any text allows every origin, as nothing in it says
 * otherwise; an origin that is given, but empty, allows none; the allowed headers have a second name.
 */
export function corsRules(cors: unknown): unknown {
  if (typeof cors === "string") return cors === "" ? false : {};
  if (typeof cors === "function") return false;
  if (typeof cors !== "object" || cors === null) return cors;
  const { headers, allowedHeaders = headers } = cors as CorsOptions & { headers?: string[] };
  const rules: Record<string, unknown> = { ...cors };
  if (allowedHeaders !== undefined) rules.allowedHeaders = allowedHeaders;
  if ("origin" in cors) rules.origin = originOf(cors.origin);
  if ("maxAge" in cors) rules.maxAge = numberOf(cors.maxAge);
  return rules;
}

/** An environment variable that is not set leaves holes in lists. */
function originOf(origin: unknown): unknown {
  const isGiven = (one: unknown) => one !== undefined && one !== null;
  return Array.isArray(origin) ? origin.filter(isGiven) : origin || false;
}
