import engine from "./engine.js";

export const { Server, Socket, Transport, attach, listen, protocol } = engine;
export default engine;
