/** Writes packets of Socket.IO as messages: what the core does itself, for adapters that send them in JavaScript. */

import { type Packet, type PacketEncoder, PacketType } from "./parser";
import { encode } from "./value";

/** Writes packets as npm's `socket.io-parser` does. */
export class Encoder implements PacketEncoder {
  /** The messages of a packet: a text, and what is binary in it. */
  encode(packet: Packet): (string | Uint8Array)[] {
    const { type, data } = packet;
    const canBeBinary = type === PacketType.Event || type === PacketType.Ack;
    if (!canBeBinary || !Array.isArray(data)) {
      return [`${type}${headOf(packet)}${data === undefined || data === null ? "" : JSON.stringify(data)}`];
    }
    const encoded = encode(data);
    if (typeof encoded === "string") return [`${type}${headOf(packet)}${encoded}`];
    const { text, attachments } = encoded;
    const binaryType = type === PacketType.Event ? PacketType.BinaryEvent : PacketType.BinaryAck;
    return [`${binaryType}${attachments.length}-${headOf(packet)}${text}`, ...attachments];
  }
}

/** The namespace, unless it is the main one, and the number of the ack. */
function headOf({ nsp, id }: Packet): string {
  return `${nsp && nsp !== "/" ? `${nsp},` : ""}${id ?? ""}`;
}
