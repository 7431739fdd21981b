// Clients show a JSON Web Token when they connect: `JWT_SECRET=... node jwt.mjs`.

import { Server } from "ferrio";
import { jwtVerify } from "jose";
import { announce } from "./listening.mjs";

const secret = new TextEncoder().encode(process.env.JWT_SECRET);
const io = new Server(Number(process.env.PORT ?? 3000));

io.use(async (socket, next) => {
  try {
    const { payload } = await jwtVerify(String(socket.handshake.auth.token), secret, {
      algorithms: ["HS256"],
      requiredClaims: ["sub", "exp"],
    });
    socket.data.user = payload.sub;
    socket.data.expires = payload.exp * 1000;
    next();
  } catch (error) {
    // The client finds the code in the `data` of its connect_error.
    next(Object.assign(new Error("unauthorized"), { data: { code: error.code } }));
  }
});

/** setTimeout takes 32 bits of milliseconds. */
const MAX_DELAY = 2 ** 31 - 1;

io.on("connection", (socket) => {
  // Whoever may connect today may not tomorrow: the connection ends with the token.
  const left = Math.min(socket.data.expires - Date.now(), MAX_DELAY);
  const expiry = setTimeout(() => socket.disconnect(true), left);
  socket.on("disconnect", () => clearTimeout(expiry));

  // All tabs of a user are one room.
  socket.join(`user:${socket.data.user}`);
  socket.on("whoami", (answer) => {
    // Not every client asks for an answer.
    if (typeof answer === "function") answer(socket.data.user);
  });
  socket.on("note to self", (text) => io.to(`user:${socket.data.user}`).emit("note", text));
});

announce(io);
