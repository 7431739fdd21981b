"use strict";

/** A real PostgreSQL server in a folder of its own, on a Unix socket. */

const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { Pool } = require("pg");
const { makeFolder, startProgram } = require("./processes");

/** The table that the adapter's documentation asks for, for what is too long for a notification. */
const ATTACHMENTS = `
  CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)`;

/** Where Debian keeps the newest version's programs, which are not on the path. */
function programs() {
  const root = "/usr/lib/postgresql";
  const versions = fs.readdirSync(root).sort((a, b) => Number(b) - Number(a));
  return path.join(root, versions[0], "bin");
}

/** PostgreSQL refuses to run as root: then it runs as the user that its package has made. */
function unprivileged() {
  if (process.getuid() !== 0) return {};
  const idOf = (flag) => Number(execFileSync("id", [flag, "postgres"]));
  return { uid: idOf("-u"), gid: idOf("-g") };
}

/** Starts a server with an empty table of attachments. `pool()` makes a pool of connections. */
async function startPostgres() {
  const folder = makeFolder();
  const user = unprivileged();
  if (user.uid !== undefined) fs.chownSync(folder, user.uid, user.gid);
  const options = { ...user, cwd: folder, env: { ...process.env, LC_ALL: "C" } };
  const data = path.join(folder, "data");
  execFileSync(path.join(programs(), "initdb"), ["-D", data, "-A", "trust", "-U", "ferrio", "--no-sync"], {
    ...options,
    stdio: "pipe",
  });
  const settings = ["listen_addresses=", `unix_socket_directories=${folder}`, "fsync=off"];
  const stop = await startProgram(
    path.join(programs(), "postgres"),
    ["-D", data, ...settings.flatMap((setting) => ["-c", setting])],
    /ready to accept connections/,
    options,
  );
  const makePool = () => {
    const pool = new Pool({ host: folder, user: "ferrio", database: "postgres" });
    // A connection that ends with its server is no failure.
    pool.on("error", () => {});
    return pool;
  };
  const pool = makePool();
  await pool.query(ATTACHMENTS);
  await pool.end();
  return {
    pool: makePool,
    stop: async () => {
      await stop("SIGINT");
      fs.rmSync(folder, { recursive: true });
    },
  };
}

module.exports = { startPostgres };
