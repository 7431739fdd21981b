/** Warnings to the operator. */

/** Tells of a fault that must not end the process. */
export function warn(problem: string): void {
  process.emitWarning(problem, "FerrioWarning");
}

const told = new Set<string>();

/** Tells of something that is worth knowing once in a process. */
export function warnOnce(problem: string): void {
  if (told.has(problem)) return;
  told.add(problem);
  warn(problem);
}
