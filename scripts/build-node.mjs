// Makes the npm package usable in place: copies the native library into bindings-node/, and compiles the TypeScript
// sources to bindings-node/dist/. With the argument `typescript` it does only the latter.

import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, renameSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const binding = path.join(root, "bindings-node");

const libraryName = { darwin: "libferrio_node.dylib", linux: "libferrio_node.so", win32: "ferrio_node.dll" };

const profile = process.env.PROFILE || "release";

if (process.argv[2] !== "typescript") {
  run("cargo", "build", "--profile", profile, "--package", "ferrio-node");
  replace(
    // Cargo's own name for the folder of this one profile.
    path.join(targetFolder(), profile === "dev" ? "debug" : profile, libraryName[process.platform]),
    path.join(binding, "ferrio.node"),
  );
}
run(process.execPath, path.join(root, "node_modules/typescript/bin/tsc"), "--project", binding);
for (const wrapper of ["wrapper.mjs", "engine-wrapper.mjs"]) {
  copyFileSync(path.join(binding, "src", wrapper), path.join(binding, "dist", wrapper));
}

/** A process that has the old library mapped keeps it: overwriting the file in place would crash it. */
function replace(from, to) {
  copyFileSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
}

function targetFolder() {
  const metadata = execFileSync("cargo", ["metadata", "--format-version=1", "--no-deps"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  return JSON.parse(metadata).target_directory;
}

/** What a tool has to say, it has said itself: a failure ends this one with the same code, and no more words. */
function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
