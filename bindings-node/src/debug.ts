/**
 * The debug output, under the names that socket.io and engine.io use, by the package `debug` that they use: `DEBUG` and
 * its other variables, `debug.enable()` and `debug.log` work as everybody knows them.
 *
 * A line is made only where its logger is on: `if (debug.socket.enabled) debug.socket(...)`.
 */

/** Prints a line, in the form of `util.format`. */
interface Logger {
  (line: string, ...values: unknown[]): void;
  /** Whether it prints anything; that may change at any time. */
  readonly enabled: boolean | undefined;
}

const makeLogger: (name: string) => Logger = require("debug");

/** The loggers. */
export const debug = {
  server: makeLogger("socket.io:server"),
  client: makeLogger("socket.io:client"),
  namespace: makeLogger("socket.io:namespace"),
  parentNamespace: makeLogger("socket.io:parent-namespace"),
  socket: makeLogger("socket.io:socket"),
  parser: makeLogger("socket.io-parser"),
  engine: makeLogger("engine"),
  session: makeLogger("engine:socket"),
  transport: makeLogger("engine:transport"),
  polling: makeLogger("engine:polling"),
  websocket: makeLogger("engine:ws"),
};

function isOn(logger: Logger): boolean {
  return logger.enabled === true;
}

/** Whether anything is said of events, acks and connects, as of the beginning of this turn: it is asked for each event. */
export const logs = { packets: false };

/** Looks at what is on. */
export function refreshLogs(): void {
  logs.packets = isOn(debug.socket) || isOn(debug.parser);
}

/** Whether anything is said of what sessions do, which the core has to be asked for. */
export function logsSessions(): boolean {
  return logsFrames() || isOn(debug.engine) || isOn(debug.server) || isOn(debug.client);
}

/** Whether anything is said of the packets of the engine. */
export function logsFrames(): boolean {
  return isOn(debug.session) || isOn(debug.transport) || isOn(debug.polling) || isOn(debug.websocket);
}

/** Says which packet has come from a client. */
export function logReceived(type: number, nsp: string, data: unknown, id?: number): void {
  const packet = id === undefined ? { type, nsp, data } : { type, nsp, id, data };
  debug.parser("decoded %j", packet);
  debug.socket("got packet %j", packet);
}
