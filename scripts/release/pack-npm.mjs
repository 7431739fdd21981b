// Packs the npm packages: `ferrio`, which is TypeScript's output alone, and one package for the native library of each
// platform that is given.
//
//     node scripts/release/pack-npm.mjs FOLDER [PLATFORM=LIBRARY]...
//
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
if (folder === undefined) throw new Error("usage: pack-npm.mjs FOLDER [PLATFORM=LIBRARY]...");
const destination = path.resolve(folder);
mkdirSync(destination, { recursive: true });

packMain();
for (const library of libraries) {
  const [platform, file] = library.split("=", 2);
  if (!(platform in platforms) || !file) throw new Error(`${library}: PLATFORM=LIBRARY was expected`);
  packPlatform(platform, file);
}

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

function packPlatform(platform, library) {
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
