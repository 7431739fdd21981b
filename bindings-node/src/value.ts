/** Turns the arguments of events and acks into JSON text with binary values cut out, and back. */

import { isAnyArrayBuffer } from "node:util/types";

/** Whether some value within is binary: such a payload travels as text and attachments. */
export function hasBinary(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (isBinary(value)) return true;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) {
      if (hasBinary(value[i])) return true;
    }
    return false;
  }
  if (typeof (value as Jsonable).toJSON === "function") {
    const plain = (value as Jsonable).toJSON();
    return plain !== value && hasBinary(plain);
  }
  for (const key in value) {
    // Applications may have added to Object.prototype.
    if (Object.hasOwn(value, key) && hasBinary((value as Record<string, unknown>)[key])) return true;
  }
  return false;
}

/** The JSON text of an argument list; binary values go to the end of `attachments` and leave placeholders. */
export function encodeBinary(args: unknown[], attachments: Uint8Array[]): string {
  const first = attachments.length;
  const cut = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if (isBinary(value)) {
      attachments.push(bytesOf(value));
      return { _placeholder: true, num: attachments.length - 1 - first };
    }
    if (Array.isArray(value)) return value.map(cut);
    if (typeof (value as Jsonable).toJSON === "function") {
      const plain = (value as Jsonable).toJSON();
      return plain === value ? value : cut(plain);
    }
    const copy: Record<string, unknown> = Object.create(null);
    for (const key of Object.keys(value)) copy[key] = cut((value as Record<string, unknown>)[key]);
    return copy;
  };
  return JSON.stringify(args.map(cut));
}

/** Puts attachments back where their placeholders stand. The core has checked that each placeholder has one. */
export function restoreBinary(value: unknown, attachments: Uint8Array[]): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) value[i] = restoreBinary(value[i], attachments);
    return value;
  }
  const object = value as Record<string, unknown>;
  if (object._placeholder === true) return attachments[object.num as number];
  for (const key of Object.keys(object)) {
    // Assigning to a `__proto__` key would change the object's prototype instead.
    if (key !== "__proto__") object[key] = restoreBinary(object[key], attachments);
  }
  return object;
}

interface Jsonable {
  toJSON(): unknown;
}

function isBinary(value: object): value is ArrayBufferView | ArrayBufferLike {
  return ArrayBuffer.isView(value) || isAnyArrayBuffer(value);
}

function bytesOf(value: ArrayBufferView | ArrayBufferLike): Uint8Array {
  if (!ArrayBuffer.isView(value)) return new Uint8Array(value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}
