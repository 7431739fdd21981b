/** Who may come into the admin namespace. */

import { randomBytes } from "node:crypto";
import type { Namespace } from "../namespace";
import { native } from "../native";
import type { Socket } from "../socket";
import { warn } from "../warning";
import type { BasicAuthentication, Settings } from "./options";
import type { Store } from "./store";

/** Lets nobody into the admin namespace who does not log in, unless the options say that everybody may. */
export function guard(namespace: Namespace, { auth, store }: Settings): void {
  if (auth === false) return;
  const login = makeLogin(auth);
  namespace.use((socket, next) => {
    admit(socket as Socket, login, store).then(
      (refusal) => (refusal === undefined ? next() : next(new Error(refusal))),
      (error) => {
        warn(`the store of the admin UI's sessions failed: ${error}`);
        next(new Error("the server cannot tell who you are"));
      },
    );
  });
}

/** Finds out whether name and password are right; `null` if there were too many attempts. */
type Login = (username: string, password: string, address: string) => Promise<boolean | null>;

function makeLogin({ username, password }: BasicAuthentication): Login {
  if (typeof username !== "string") throw new TypeError("option `auth.username` must be a text");
  let checker: InstanceType<typeof native.NativeLogin>;
  try {
    checker = new native.NativeLogin(username, password);
  } catch {
    throw new Error("the `password` field must be a valid bcrypt hash");
  }
  // One at a time: each takes a thread of Node's own that files and name look-ups need as well.
  let turn: Promise<unknown> = Promise.resolve();
  let nWaiting = 0;
  return async (...given) => {
    if (nWaiting === MAX_WAITING) return null;
    nWaiting += 1;
    const checked = turn.then(() => checker.check(...given));
    turn = checked.catch(() => undefined);
    try {
      return await checked;
    } finally {
      nWaiting -= 1;
    }
  };
}

/** So many attempts wait at a time. */
const MAX_WAITING = 16;

/** Returns why a client is refused; `undefined` lets it in. */
async function admit(socket: Socket, login: Login, store: Store): Promise<string | undefined> {
  const { sessionId, username, password } = socket.handshake.auth;
  if (typeof sessionId === "string" && sessionId !== "" && (await store.doesSessionExist(sessionId))) {
    return undefined;
  }
  if (typeof username !== "string" || typeof password !== "string") return INVALID;
  const isRight = await login(username, password, socket.handshake.address ?? "");
  if (isRight === null) return "too many attempts, try again later";
  if (!isRight) return INVALID;
  const session = randomBytes(16).toString("hex");
  await store.saveSession(session);
  socket.emit("session", session);
  return undefined;
}

const INVALID = "invalid credentials";
