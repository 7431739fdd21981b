/** Finds the native library that fits this process. */

import { readFileSync } from "node:fs";

/** The native library: what was built in this checkout, otherwise the package of this platform. */
export function loadLibrary(): unknown {
  const platform = platformName();
  const faults: Error[] = [];
  for (const name of ["local", platform]) {
    try {
      // A bundler follows a `require` whose text is plain, and forgives one that it cannot resolve if it stands in a
      // `try` of the same function. Hence no table of functions, and no name that is put together.
      switch (name) {
        case "local":
          return require("../ferrio.node");
        case "linux-x64-gnu":
          return require("@ferrio/linux-x64-gnu/ferrio.node");
        case "linux-x64-musl":
          return require("@ferrio/linux-x64-musl/ferrio.node");
        case "linux-arm64-gnu":
          return require("@ferrio/linux-arm64-gnu/ferrio.node");
        case "linux-arm64-musl":
          return require("@ferrio/linux-arm64-musl/ferrio.node");
        case "darwin-x64":
          return require("@ferrio/darwin-x64/ferrio.node");
        case "darwin-arm64":
          return require("@ferrio/darwin-arm64/ferrio.node");
        case "win32-x64-msvc":
          return require("@ferrio/win32-x64-msvc/ferrio.node");
        default:
          throw new Error("there is no package for this platform; build ferrio from its sources");
      }
    } catch (fault) {
      faults.push(fault as Error);
    }
  }
  throw explain(platform, faults);
}

/** What this platform is called in the names of packages. */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform === "linux") return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  return platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

/** Whether this process runs on musl. Without a sign of it, it runs on glibc. */
function isMusl(): boolean {
  const { header, sharedObjects } = report();
  if (header?.glibcVersionRuntime !== undefined) return false;
  if (sharedObjects?.some((file) => /\bld-musl-|\blibc\.musl-/.test(file))) return true;
  try {
    return readFileSync("/usr/bin/ldd", "latin1").includes("musl");
  } catch {
    return false;
  }
}

interface Report {
  header?: { glibcVersionRuntime?: string };
  sharedObjects?: string[];
}

/** What Node tells of this process; other runtimes may not. */
function report(): Report {
  const reporter = process.report as (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined;
  if (typeof reporter?.getReport !== "function") return {};
  // Otherwise Node looks up the names of all peers that the process is connected to.
  const before = reporter.excludeNetwork;
  reporter.excludeNetwork = true;
  try {
    return reporter.getReport() as Report;
  } finally {
    reporter.excludeNetwork = before;
  }
}

/** What to say when no library could be loaded. */
function explain(platform: string, faults: Error[]): Error {
  const broken = faults.find((fault) => !isAbsent(fault));
  if (broken !== undefined) {
    const message = `ferrio cannot load its native library for ${platform}: ${broken.message}`;
    return new Error(message, { cause: broken });
  }
  const remedies = [
    `ferrio cannot find its native library for ${platform}, which is in the package @ferrio/${platform}.`,
    "That is an optional dependency: install without --omit=optional, --no-optional or --ignore-optional.",
    "If node_modules or the lock file comes from another platform, npm may leave it out (npm/cli#4828):",
    "remove both and install again.",
    "A bundle needs the library beside it: see docs/bundling.md.",
  ];
  return new Error(remedies.join(" "));
}

function isAbsent(fault: Error): boolean {
  return (fault as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND";
}
