// Packs the npm packages: `ferrio`, which is TypeScript's output alone, `@ferrio/socket.io`, which is `ferrio` under another
// name, and one package for the native library of each platform that is given.
//
//     node scripts/release/pack-npm.mjs FOLDER [PLATFORM_FOLDER]...
//
// A platform's folder is called as the platform, and has its library as ferrio.node.
// Both are put together in a folder of their own: package.json of the checkout names no package of a platform, so that an
// install in it asks no registry for them.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const platforms = readJson(new URL("platforms.json", import.meta.url));
const description = readJson(path.join(root, "package.json"));
const { version, license, author, repository, engines } = description;

const [folder, ...libraries] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: pack-npm.mjs FOLDER [PLATFORM_FOLDER]...");
const destination = path.resolve(folder);
mkdirSync(destination, { recursive: true });

packMain();
packFacade();
for (const library of libraries) packPlatform(path.basename(library), path.join(library, "ferrio.node"));

function packMain() {
  const optionalDependencies = {};
  for (const platform of Object.keys(platforms)) optionalDependencies[`@ferrio/${platform}`] = version;
  // What npm would pack of the checkout.
  const [{ files }] = JSON.parse(npm(root, "pack", "--dry-run", "--json"));
  pack((stage) => {
    for (const { path: file } of files) cpSync(path.join(root, file), path.join(stage, file));
    const { private: _private, scripts, devDependencies, ...published } = description;
    return { ...published, optionalDependencies };
  });
}

function packFacade() {
  pack((stage) => {
    cpSync(path.join(root, "bindings-node/socket.io"), stage, { recursive: true });
    // Where socket.io has them.
    cpSync(path.join(root, "node_modules/socket.io-client/dist"), path.join(stage, "client-dist"), {
      recursive: true,
    });
    cpSync(path.join(root, "LICENSE"), path.join(stage, "LICENSE"));
    const { name, ...facade } = readJson(path.join(stage, "package.json"));
    // Above all of socket.io's own, so that it is in the ranges that others ask for.
    const [major, minor, patch] = version.split(".").map(Number);
    return {
      name,
      version: `4.8.${major * 10_000 + minor * 100 + patch}`,
      ...facade,
      dependencies: { ...facade.dependencies, ferrio: version },
    };
  });
}

function packPlatform(platform, library) {
  if (!(platform in platforms)) throw new Error(`no such platform: ${platform}`);
  const { os, cpu, libc } = platforms[platform];
  const name = `@ferrio/${platform}`;
  const main = "ferrio.node";
  pack((stage) => {
    cpSync(library, path.join(stage, main));
    cpSync(path.join(root, "LICENSE"), path.join(stage, "LICENSE"));
    writeFileSync(
      path.join(stage, "README.md"),
      `# ${name}\n\nThe native library of \`ferrio\` for ${platform}.\n`,
    );
    return {
      name,
      version,
      description: `The native library of ferrio for ${platform}`,
      license,
      author,
      repository,
      engines,
      os: [os],
      cpu: [cpu],
      // npm takes the lists as they are, and has nothing like "any".
      ...(libc && { libc: [libc] }),
      main,
      files: [main],
      // Yarn would otherwise leave it in its archive, where it cannot be loaded from.
      preferUnplugged: true,
      publishConfig: { access: "public" },
    };
  });
}

/** Packs a folder that `fill` fills, which returns its package.json. */
function pack(fill) {
  const stage = mkdtempSync(path.join(tmpdir(), "ferrio-pack-"));
  try {
    writeFileSync(path.join(stage, "package.json"), `${JSON.stringify(fill(stage), null, 2)}\n`);
    const [{ filename, size, unpackedSize }] = JSON.parse(
      npm(stage, "pack", "--json", "--pack-destination", destination),
    );
    console.log(`${path.basename(filename)}: ${size} bytes, ${unpackedSize} unpacked`);
  } finally {
    rmSync(stage, { recursive: true });
  }
}

function npm(cwd, ...words) {
  return execFileSync("npm", words, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}
