const { client, connected, next, program, start, told } = require("./support");

const JWT_SECRET = "a secret of at least thirty-two characters";

/** A token of this user, which expires after so many seconds. */
function token(user, seconds, secret = JWT_SECRET) {
  return program("token.mjs", user, seconds, secret);
}

test("a client with a token is known by it", async () => {
  const url = await start("jwt.mjs", { JWT_SECRET });
  const first = await connected(url, { auth: { token: await token("ann", 60) } });
  const second = await connected(url, { auth: { token: await token("ann", 60) } });
  const other = await connected(url, { auth: { token: await token("bob", 60) } });
  expect(await first.emitWithAck("whoami")).toBe("ann");
  const notes = [];
  other.on("note", (text) => notes.push(text));
  const note = next(second, "note");
  first.emit("note to self", "milk");
  expect(await note).toEqual(["milk"]);
  expect(await other.emitWithAck("whoami")).toBe("bob");
  expect(notes).toEqual([]);
});

test("a client without a good token is refused, and told why", async () => {
  const url = await start("jwt.mjs", { JWT_SECRET });
  const refusal = async (given) => {
    const [error] = await told(client(url, { auth: { token: given } }), "connect_error");
    return [error.message, error.data.code];
  };
  expect(await refusal(undefined)).toEqual(["unauthorized", "ERR_JWS_INVALID"]);
  expect(await refusal(await token("ann", -60))).toEqual(["unauthorized", "ERR_JWT_EXPIRED"]);
  expect(await refusal(await token("ann", 60, "another secret of thirty-two characters"))).toEqual([
    "unauthorized",
    "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
  ]);
});

test("a connection ends with its token", async () => {
  const url = await start("jwt.mjs", { JWT_SECRET });
  const socket = await connected(url, { auth: { token: await token("ann", 2) } });
  expect((await told(socket, "disconnect"))[0]).toMatch(/io server disconnect|transport close/);
});
