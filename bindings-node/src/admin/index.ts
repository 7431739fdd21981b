/** What an admin UI needs of a server: `instrument`, under the name and with the options of `@socket.io/admin-ui`. */

import os from "node:os";
import type { Bridge } from "../bridge";
import type { Namespace } from "../namespace";
import { ownParser } from "../options";
import type { Server } from "../server";
import type { Socket } from "../socket";
import { listenToCommands } from "./commands";
import { DataWatch } from "./data";
import { guard } from "./login";
import { type InstrumentOptions, type Settings, settingsOf } from "./options";

export { InMemoryStore } from "./store";
export type { InstrumentOptions };

/**
 * Lets the clients of the [admin UI](https://socket.io/docs/v4/admin-ui/) see a server, and act on it. What they see comes
 * from the core; nothing is done for it while none is connected.
 */
// biome-ignore lint/suspicious/noExplicitAny: any server, whatever its events are.
export function instrument(io: Server<any, any, any, any>, options: Partial<InstrumentOptions>): void {
  const settings = settingsOf(options);
  if (ownParser(io.opts.parser) !== undefined) throw new TypeError(NO_PARSERS);
  if (io._instrumented) throw new Error("the server is instrumented already");
  const namespace = io.of(settings.namespaceName);
  guard(namespace, settings);
  io._instrumented = true;
  io._whenStarted((bridge) => bridge.flushed.instrument(coreSettings(namespace, settings)));
  const data = settings.showsAll ? new DataWatch(io, namespace, settings.statsInterval) : undefined;
  namespace.on("connection", (socket: Socket) => {
    const bridge: Bridge | undefined = io._bridge;
    if (bridge === undefined) return;
    if (!settings.readonly) listenToCommands(io, socket);
    bridge.flushed.showTo(socket._key);
    data?.begin();
  });
}

function coreSettings(namespace: Namespace, settings: Settings) {
  return {
    namespace: namespace.name,
    serverId: settings.serverId,
    hostname: os.hostname(),
    uptime: process.uptime(),
    showsAll: settings.showsAll,
    takesCommands: !settings.readonly,
    showsSecrets: settings.showSecrets,
    interval: settings.statsInterval,
  };
}

const NO_PARSERS =
  "instrument() cannot be used with the option `parser`, unless it is socket.io-msgpack-parser: the core does not know what such a parser writes";
