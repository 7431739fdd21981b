/** Acks of a broadcast that an adapter sends: from the clients of every server of a cluster. */

import type { AnyAdapter, BroadcastFlags, BroadcastOptions } from "./adapter";
import { PacketType } from "./parser";

/** Called once: with `null` and the answers, or with an error and those that came in time. */
export type AnswersListener = (error: Error | null, answers: unknown) => void;

/**
 * Sends an event and gathers the answers. They are complete when every server has said how many clients it has asked, and
 * each of these has answered.
 */
export function gatherAcks(
  adapter: AnyAdapter,
  data: unknown[],
  opts: BroadcastOptions & { flags: BroadcastFlags },
  listener: AnswersListener,
): void {
  const { timeout, expectSingleResponse } = opts.flags;
  const answers: unknown[] = [];
  let nServers: number | undefined;
  let nServersAsked = 0;
  let nClients = 0;
  let isOver = false;

  const finish = (error: Error | null) => {
    isOver = true;
    clearTimeout(timer);
    const single = error === null ? answers[0] : null;
    listener(error, expectSingleResponse ? single : answers);
  };
  const finishIfComplete = () => {
    if (!isOver && nServersAsked === nServers && answers.length === nClients) finish(null);
  };
  const timer = setTimeout(() => finish(new Error("operation has timed out")), timeout);

  adapter.broadcastWithAck(
    { type: PacketType.Event, data },
    opts,
    (nAsked) => {
      nClients += nAsked;
      nServersAsked += 1;
      finishIfComplete();
    },
    (answer: unknown) => {
      if (isOver) return;
      answers.push(answer);
      finishIfComplete();
    },
  );
  adapter.serverCount().then((n) => {
    nServers = n;
    finishIfComplete();
  });
}
