import ferrio from "./index.js";

export const { Server, Namespace, Socket } = ferrio;
export default ferrio;
