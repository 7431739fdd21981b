import ferrio from "./index.js";

export const { InMemoryStore, instrument, Namespace, Server, Socket } = ferrio;
export default ferrio;
