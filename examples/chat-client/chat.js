// The chat in the browser. It knows neither which language answers it nor which transport carries it: that is what
// it is there to show.

const byId = (id) => document.getElementById(id);

/** How long a message may wait for the server's acknowledgement before it is called undelivered. */
const ACK_TIMEOUT_MS = 10_000;

/** How long after the last key a typing notice is taken back. */
const TYPING_PAUSE_MS = 2_000;

let nickname = "";
let current = null;
let people = [];
const conversations = new Map();

const socket = io({ autoConnect: false, reconnectionDelayMax: 2_000, auth: (send) => send({ nickname }) });

// ---- The connection, and what it says of itself

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  nickname = byId("nickname").value.trim();
  byId("whoami").textContent = `you are ${nickname}`;
  if (conversations.size === 0) current = conversationWith("room", byId("first-room").value.trim());
  socket.connect();
});

socket.on("connect", () => {
  byId("entrance").hidden = true;
  byId("chat").hidden = false;
  byId("banner").hidden = true;
  showTransport();
  socket.io.engine.once("upgrade", showTransport);
  for (const conversation of conversations.values()) {
    if (conversation.kind === "room") join(conversation);
  }
  open(current);
  byId("text").focus();
});

socket.on("connect_error", (error) => {
  byId("refusal").textContent = error.message;
  if (!socket.active) showBanner(`The server refused: ${error.message}`);
});

socket.on("disconnect", (reason) => {
  showState("disconnected", "offline");
  showBanner(`The connection is lost (${reason}). Reconnecting…`);
  for (const conversation of conversations.values()) conversation.typing.clear();
  showTyping();
  // The client reconnects by itself, except where the server ended the connection on purpose.
  if (reason === "io server disconnect") socket.connect();
});

socket.io.on("reconnect_attempt", (attempt) => {
  showState("connecting", "reconnecting");
  showBanner(`The connection is lost. Reconnecting, attempt ${attempt}…`);
});

function showTransport() {
  showState("connected", socket.io.engine.transport.name);
}

function showState(state, text) {
  byId("connection").dataset.state = state;
  byId("connection").textContent = text;
  byId("write").querySelector("button").disabled = state !== "connected";
}

function showBanner(text) {
  byId("banner").textContent = text;
  byId("banner").hidden = false;
}

// ---- What the server tells

socket.on("people", showPeople);

socket.on("joined", ({ room, nickname: who, members }) => {
  const conversation = conversationWith("room", room);
  setMembers(conversation, members);
  addNotice(conversation, `${who} joined`);
});

socket.on("left", ({ room, nickname: who, members }) => {
  const conversation = conversationWith("room", room);
  setMembers(conversation, members);
  setTyping(conversation, who, false);
  addNotice(conversation, `${who} left`);
});

socket.on("message", ({ room, ...message }) => receive(conversationWith("room", room), message));

socket.on("private", (message) => receive(conversationWith("private", message.from), message));

socket.on("typing", ({ room, nickname: who, isTyping }) =>
  setTyping(conversationWith("room", room), who, isTyping),
);

function receive(conversation, message) {
  setTyping(conversation, message.from, false);
  addMessage(conversation, message);
  if (conversation === current) return;
  conversation.n_unread += 1;
  showConversations();
}

// ---- What the person does

byId("join-room").addEventListener("submit", (event) => {
  event.preventDefault();
  const conversation = conversationWith("room", byId("room-name").value.trim());
  byId("room-name").value = "";
  join(conversation);
  open(conversation);
});

byId("leave-room").addEventListener("click", () => {
  const left = current;
  const forget = () => {
    conversations.delete(keyOf(left.kind, left.name));
    open([...conversations.values()][0] ?? null);
  };
  // What the room still said before the server answered arrives before the answer, so nothing revives it after.
  if (left.kind === "room" && socket.connected) socket.emit("leave", { room: left.name }, forget);
  else forget();
});

byId("write").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text || !current || !socket.connected) return;
  byId("text").value = "";
  stopTyping();
  send(current, text);
});

function join(conversation) {
  socket.emit("join", { room: conversation.name }, (answer) => {
    if (answer.error) return addNotice(conversation, answer.error);
    setMembers(conversation, answer.members);
    conversation.log.replaceChildren();
    for (const message of answer.history) addMessage(conversation, message);
    addNotice(conversation, `you joined ${conversation.name}`);
  });
}

function send(conversation, text) {
  const line = addMessage(conversation, { from: nickname, text, at: Date.now() });
  const [event, request] =
    conversation.kind === "room"
      ? ["message", { room: conversation.name, text }]
      : ["private", { to: conversation.name, text }];
  showFate(line, "sending…");
  socket.timeout(ACK_TIMEOUT_MS).emit(event, request, (timeout, answer) => {
    if (timeout) return showFate(line, "not delivered: the server did not answer", "failed");
    if (answer.error) return showFate(line, `not delivered: ${answer.error}`, "failed");
    showFate(line, "delivered", "delivered");
  });
}

let typingIn = null;
let typingTimer;

byId("text").addEventListener("input", () => {
  clearTimeout(typingTimer);
  typingTimer = setTimeout(stopTyping, TYPING_PAUSE_MS);
  if (typingIn || current?.kind !== "room") return;
  typingIn = current;
  tellTyping(true);
});

function stopTyping() {
  clearTimeout(typingTimer);
  if (!typingIn) return;
  tellTyping(false);
  typingIn = null;
}

function tellTyping(isTyping) {
  if (socket.connected) socket.emit("typing", { room: typingIn.name, isTyping });
}

// ---- Conversations: the rooms one is in, and the people one has a private talk with

function keyOf(kind, name) {
  return `${kind}:${name}`;
}

function conversationWith(kind, name) {
  const key = keyOf(kind, name);
  if (!conversations.has(key)) {
    const log = document.createElement("ol");
    log.setAttribute("role", "log");
    log.setAttribute("aria-label", `Messages in ${name}`);
    conversations.set(key, { kind, name, log, members: [], typing: new Set(), n_unread: 0 });
    showConversations();
  }
  return conversations.get(key);
}

function open(conversation) {
  stopTyping();
  current = conversation;
  byId("write").hidden = byId("leave-room").hidden = !conversation;
  byId("log").replaceChildren(...(conversation ? [conversation.log] : []));
  byId("title").textContent = conversation ? titleOf(conversation) : "Join a room, or choose a person";
  byId("leave-room").textContent = conversation?.kind === "private" ? "Close" : "Leave";
  if (conversation) conversation.n_unread = 0;
  showMembers();
  showTyping();
  showConversations();
  scrollToEnd(conversation);
}

function titleOf({ kind, name }) {
  return kind === "room" ? `# ${name}` : `@ ${name}`;
}

function setMembers(conversation, members) {
  conversation.members = members;
  showMembers();
}

function setTyping(conversation, who, isTyping) {
  conversation.typing[isTyping ? "add" : "delete"](who);
  showTyping();
}

// ---- Drawing. Everything that a person wrote goes in as text, never as markup.

function addMessage(conversation, { from, text, at }) {
  const line = byId("message").content.firstElementChild.cloneNode(true);
  const time = new Date(at);
  line.classList.toggle("mine", from === nickname);
  line.querySelector(".author").textContent = from;
  line.querySelector(".text").textContent = text;
  line.querySelector("time").dateTime = time.toISOString();
  line.querySelector("time").textContent = time.toLocaleTimeString([], {
    hour: "2-digit",
    minute: "2-digit",
  });
  return add(conversation, line);
}

function addNotice(conversation, text) {
  const line = document.createElement("li");
  line.className = "notice";
  line.textContent = text;
  return add(conversation, line);
}

function add(conversation, line) {
  conversation.log.append(line);
  scrollToEnd(conversation);
  return line;
}

function scrollToEnd(conversation) {
  conversation?.log.scrollTo({ top: conversation.log.scrollHeight });
}

function showFate(line, text, state = "") {
  line.classList.toggle("failed", state === "failed");
  line.querySelector(".fate").textContent = text;
}

function showMembers() {
  byId("members").textContent = current?.members.join(", ") ?? "";
}

function showTyping() {
  const who = [...(current?.typing ?? [])];
  byId("typing").textContent = who.length ? `${who.join(", ")} ${who.length > 1 ? "are" : "is"} typing…` : "";
}

function showConversations() {
  const rooms = [...conversations.values()].filter(({ kind }) => kind === "room");
  byId("rooms").replaceChildren(...rooms.map((room) => entryFor(room, titleOf(room))));
  showPeople(people);
}

function showPeople(names) {
  people = names;
  // A private talk stays in the list when its partner is away, so that nothing unread disappears.
  const partners = [...conversations.values()]
    .filter(({ kind }) => kind === "private")
    .map(({ name }) => name);
  const listed = [...new Set([...names, ...partners])].filter((name) => name !== nickname).sort();
  byId("people").replaceChildren(
    ...listed.map((name) =>
      entryFor(
        conversations.get(keyOf("private", name)),
        names.includes(name) ? name : `${name} (away)`,
        () => open(conversationWith("private", name)),
      ),
    ),
  );
}

function entryFor(conversation, text, choose = () => open(conversation)) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.setAttribute("aria-current", String(Boolean(conversation) && conversation === current));
  button.addEventListener("click", choose);
  if (conversation?.n_unread) {
    const unread = document.createElement("span");
    unread.className = "unread";
    unread.textContent = conversation.n_unread;
    unread.setAttribute("aria-label", `${conversation.n_unread} unread`);
    button.append(unread);
  }
  item.append(button);
  return item;
}
