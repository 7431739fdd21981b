/** Turns the arguments of events and acks into JSON text with binary values cut out, and back. */

import { isAnyArrayBuffer, isSharedArrayBuffer } from "node:util/types";

/** Binary values below this size are copied; larger ones are lent to the core for one call. */
export const SMALL_ATTACHMENT = 4096;

/** Arguments on their way out: JSON text alone or, with binary values, the text and what was cut out of it. */
export type Encoded = string | EncodedBinary;

export interface EncodedBinary {
  text: string;
  attachments: Uint8Array[];
}

/** The text and what is binary in it, of which there may be nothing. */
export function partsOf(encoded: Encoded): EncodedBinary {
  return typeof encoded === "string" ? { text: encoded, attachments: [] } : encoded;
}

/**
 * Encodes arguments. This runs code of the application (getters, `toJSON`, proxies), which may throw or emit: nothing
 * may be half done meanwhile.
 *
 * What is cut out is decided in one walk. The walk of `JSON.stringify` that follows sees copies where something was cut
 * out, so that a getter that answers differently the second time cannot add or lose a placeholder.
 */
export function encode(args: unknown[]): Encoded {
  const attachments: Uint8Array[] = [];
  const text = JSON.stringify(cutList(args, attachments));
  // Some libraries change how arrays are written.
  if (typeof text !== "string" || text[0] !== "[")
    throw new TypeError("the arguments are not written as a list");
  return attachments.length === 0 ? text : { text, attachments };
}

/** The value itself or, where something was cut out, a copy with placeholders. */
function cut(value: unknown, attachments: Uint8Array[]): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isBinary(value)) {
    attachments.push(bytesOf(value));
    return { _placeholder: true, num: attachments.length - 1 };
  }
  if (Array.isArray(value)) return cutList(value, attachments);
  if (typeof (value as Jsonable).toJSON === "function") {
    const plain = (value as Jsonable).toJSON();
    if (plain !== value) {
      const before = attachments.length;
      const copy = cut(plain, attachments);
      return attachments.length === before ? value : copy;
    }
  }
  return cutObject(value as Plain, attachments);
}

function cutList(list: unknown[], attachments: Uint8Array[]): unknown[] {
  let copy: unknown[] | undefined;
  for (let i = 0; i < list.length; i += 1) {
    const before = attachments.length;
    const value = cut(list[i], attachments);
    if (attachments.length > before) copy ??= firstOf(list, i);
    if (copy !== undefined) copy[i] = value;
  }
  return copy ?? list;
}

/** Not `slice`, which subclasses may have replaced. */
function firstOf(list: unknown[], n: number): unknown[] {
  const first: unknown[] = [];
  for (let i = 0; i < n; i += 1) first.push(list[i]);
  return first;
}

function cutObject(object: Plain, attachments: Uint8Array[]): Plain {
  let copy: Plain | undefined;
  for (const key in object) {
    // Applications may have added to Object.prototype.
    if (!Object.hasOwn(object, key)) continue;
    const before = attachments.length;
    const value = cut(object[key], attachments);
    if (attachments.length > before) copy ??= fieldsBefore(object, key);
    // A function is left out of JSON, and one of the name `toJSON` would be called.
    if (copy !== undefined && typeof value !== "function") copy[key] = value;
  }
  return copy ?? object;
}

function fieldsBefore(object: Plain, end: string): Plain {
  // Without a prototype `__proto__` is a key like any other.
  const fields: Plain = Object.create(null);
  for (const key in object) {
    if (key === end) break;
    if (Object.hasOwn(object, key) && typeof object[key] !== "function") fields[key] = object[key];
  }
  return fields;
}

/** Puts attachments back where their placeholders stand. The core has checked that each placeholder has one. */
export function restoreBinary(value: unknown, attachments: Uint8Array[]): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) value[i] = restoreBinary(value[i], attachments);
    return value;
  }
  const object = value as Plain;
  if (object._placeholder === true) return attachments[object.num as number];
  for (const key of Object.keys(object)) {
    // Assigning to a `__proto__` key would change the object's prototype instead.
    if (key !== "__proto__") object[key] = restoreBinary(object[key], attachments);
  }
  return object;
}

/** Whether a text is free of lone surrogates, which UTF-8 cannot represent. */
export function isWellFormed(text: string): boolean {
  return !LONE_SURROGATE.test(text);
}

const LONE_SURROGATE = /\p{Surrogate}/u;

type Plain = Record<string, unknown>;

interface Jsonable {
  toJSON(): unknown;
}

export function isBinary(value: object): value is ArrayBufferView | ArrayBufferLike {
  return ArrayBuffer.isView(value) || isAnyArrayBuffer(value);
}

/** The bytes as they are now. Small ones are copied, and memory that other threads share. */
export function bytesOf(value: ArrayBufferView | ArrayBufferLike): Uint8Array {
  const bytes = ArrayBuffer.isView(value)
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    : new Uint8Array(value, 0, value.byteLength);
  const isLent = bytes.byteLength >= SMALL_ATTACHMENT && !isSharedArrayBuffer(bytes.buffer);
  return isLent ? bytes : Buffer.from(bytes);
}
