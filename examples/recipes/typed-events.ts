// Events with types: the compiler checks names, arguments and answers. `npx tsx typed-events.ts`.

import { Server } from "ferrio";
import { announce } from "./listening.mjs";

/** What the server sends. The client uses the same interfaces, the other way round. */
export interface ServerToClient {
  "todo added": (todo: Todo) => void;
  "todo done": (id: number) => void;
}

/** What clients send. The last argument is the answer. */
export interface ClientToServer {
  "add todo": (title: string, answer: (result: Result<Todo>) => void) => void;
  "finish todo": (id: number, answer: (result: Result<Todo>) => void) => void;
}

/** What the server keeps with a socket. */
interface SocketData {
  added: number;
}

export interface Todo {
  id: number;
  title: string;
  isDone: boolean;
}

export type Result<T> = { value: T } | { error: string };

const MAX_TITLE = 200;
const MAX_TODOS = 1000;

const todos = new Map<number, Todo>();
const io = new Server<ClientToServer, ServerToClient, Record<string, never>, SocketData>(
  Number(process.env.PORT ?? 3000),
);

io.on("connection", (socket) => {
  socket.data.added = 0;
  for (const todo of todos.values()) socket.emit("todo added", todo);

  socket.on("add todo", (title, answer) => {
    // Types are a promise that only honest clients keep: what comes in is looked at all the same.
    if (typeof answer !== "function") return;
    if (typeof title !== "string" || title === "" || title.length > MAX_TITLE) {
      return answer({ error: `a title has 1 to ${MAX_TITLE} characters` });
    }
    if (todos.size === MAX_TODOS) return answer({ error: "finish something first" });
    const todo = { id: todos.size + 1, title, isDone: false };
    todos.set(todo.id, todo);
    socket.data.added += 1;
    socket.broadcast.emit("todo added", todo);
    answer({ value: todo });
  });

  socket.on("finish todo", (id, answer) => {
    if (typeof answer !== "function") return;
    const todo = todos.get(id);
    if (todo === undefined) return answer({ error: "there is no such todo" });
    todo.isDone = true;
    socket.broadcast.emit("todo done", id);
    answer({ value: todo });
  });
});

announce(io);
