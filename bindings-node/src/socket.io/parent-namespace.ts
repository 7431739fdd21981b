/** Namespaces that come into being when a client asks for them. */

export { ParentNamespace } from "../parent-namespace";
