/** Namespaces. */

export {
  type ExtendedError,
  Namespace,
  type NamespaceReservedEventsMap,
  RESERVED_EVENTS,
  type ServerReservedEventsMap,
} from "../namespace";
