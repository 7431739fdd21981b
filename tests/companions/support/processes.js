"use strict";

/** Servers of other makers as child processes, each in a folder of its own, both gone in the end. */

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const { within } = require("../../node/support/wait");

/** A new folder for one server's files and Unix socket, whose path must be short. */
function makeFolder() {
  return fs.mkdtempSync(path.join(os.tmpdir(), "ferrio-"));
}

/** Starts a program and waits until it says that it is ready. Returns how to stop it. */
async function startProgram(command, args, isReady, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let said = "";
  const gone = new Promise((resolve) => child.once("close", resolve));
  const ready = new Promise((resolve, reject) => {
    const hear = (chunk) => {
      said += chunk;
      if (isReady.test(said)) resolve();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`${command} ended with ${code}: ${said}`)));
  });
  const stop = async (signal = "SIGTERM") => {
    child.kill(signal);
    await within(gone, `${command} to end`, 30_000);
  };
  try {
    await within(ready, `${command} to start`, 30_000);
  } catch (error) {
    await stop("SIGKILL");
    throw error;
  }
  return stop;
}

/** Ports that were free a moment ago. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => net.createServer());
  await Promise.all(servers.map((server) => new Promise((done) => server.listen(0, "127.0.0.1", done))));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

module.exports = { makeFolder, startProgram, freePorts };
