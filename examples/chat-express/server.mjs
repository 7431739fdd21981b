// The chat on Express: `node server.mjs`, then open the address it prints. HOST and PORT choose where it listens;
// CHAT_MODULE=socket.io runs this same file on the official server.

import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import express from "express";

const { Server } = await import(process.env.CHAT_MODULE ?? "ferrio");

const app = express();
const server = createServer(app);
const io = new Server(server);

app.use(express.static(fileURLToPath(new URL("../chat-client", import.meta.url))));
app.get("/client/socket.io.js", (_request, response) => response.redirect("/socket.io/socket.io.js"));
app.get("/api/rooms", (_request, response) =>
  response.json([...rooms].map(([name, room]) => ({ name, members: membersOf(room) }))),
);

/** @type {Map<string, string>} Nicknames by socket id. */
const people = new Map();

/** @type {Map<string, { members: Map<string, string>, history: object[] }>} What each room remembers. */
const rooms = new Map();

const MAX_HISTORY = 50;
const MAX_EMPTY_ROOMS = 100;
const MAX_NAME = 24;
const MAX_TEXT = 2000;

io.use((socket, next) => {
  socket.data.nickname = textOf(socket.handshake.auth.nickname, MAX_NAME);
  next(socket.data.nickname ? undefined : new Error("choose a nickname"));
});

io.on("connection", (socket) => {
  const { nickname } = socket.data;
  people.set(socket.id, nickname);
  socket.join(inboxOf(nickname));
  announcePeople();

  answer(socket, "join", (request) => {
    const name = textOf(request.room, MAX_NAME);
    if (!name) return { error: "a room needs a name" };
    const room = roomNamed(name);
    room.members.set(socket.id, nickname);
    socket.join(addressOf(name));
    socket.to(addressOf(name)).emit("joined", { room: name, nickname, members: membersOf(room) });
    return { room: name, members: membersOf(room), history: room.history };
  });

  answer(socket, "leave", (request) => {
    leave(socket, textOf(request.room, MAX_NAME));
    return {};
  });

  answer(socket, "message", (request) => {
    const name = textOf(request.room, MAX_NAME);
    const room = rooms.get(name);
    const message = messageFrom(nickname, request.text);
    if (!room?.members.has(socket.id)) return { error: "you are not in this room" };
    if (!message.text) return { error: "a message needs a text" };
    room.history = [...room.history, message].slice(-MAX_HISTORY);
    socket.to(addressOf(name)).emit("message", { room: name, ...message });
    return { at: message.at };
  });

  answer(socket, "private", (request) => {
    const to = textOf(request.to, MAX_NAME);
    const message = messageFrom(nickname, request.text);
    if (![...people.values()].includes(to)) return { error: `${to} is not here` };
    if (!message.text) return { error: "a message needs a text" };
    socket.to(inboxOf(to)).emit("private", message);
    return { at: message.at };
  });

  answer(socket, "typing", (request) => {
    const name = textOf(request.room, MAX_NAME);
    if (!rooms.get(name)?.members.has(socket.id)) return { error: "you are not in this room" };
    socket.to(addressOf(name)).emit("typing", { room: name, nickname, isTyping: request.isTyping === true });
    return {};
  });

  socket.on("disconnect", () => {
    people.delete(socket.id);
    for (const name of rooms.keys()) leave(socket, name);
    announcePeople();
  });
});

/** Answers the client's acknowledgement, when it asks for one, with what the handler returns. */
function answer(socket, event, handler) {
  socket.on(event, (request, reply) => {
    const response = handler(request ?? {});
    if (typeof reply === "function") reply(response);
  });
}

function leave(socket, name) {
  const room = rooms.get(name);
  if (!room?.members.delete(socket.id)) return;
  socket.leave(addressOf(name));
  io.to(addressOf(name)).emit("left", {
    room: name,
    nickname: socket.data.nickname,
    members: membersOf(room),
  });
  if (room.members.size === 0 && rooms.size > MAX_EMPTY_ROOMS) rooms.delete(name);
}

function roomNamed(name) {
  if (!rooms.has(name)) rooms.set(name, { members: new Map(), history: [] });
  return rooms.get(name);
}

function announcePeople() {
  io.emit("people", [...new Set(people.values())].sort());
}

const membersOf = (room) => [...new Set(room.members.values())].sort();
const messageFrom = (from, text) => ({ from, text: textOf(text, MAX_TEXT), at: Date.now() });
const textOf = (value, longest) => (typeof value === "string" ? value.trim().slice(0, longest) : "");

// The prefixes keep apart what would else share one set of names: the rooms that people choose, the inbox that
// all tabs of a nickname join, and the room that every socket has of its own.
const addressOf = (name) => `room:${name}`;
const inboxOf = (nickname) => `inbox:${nickname}`;

server.listen(process.env.PORT ?? 3000, process.env.HOST ?? "127.0.0.1", () => {
  console.log(`The chat is on http://localhost:${server.address().port}`);
});
