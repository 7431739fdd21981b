/** Warnings to the operator. */

/** Tells of a fault that must not end the process. */
export function warn(problem: string): void {
  process.emitWarning(problem, "FerrioWarning");
}
