/** Middleware: functions that see something in turn, each of which says whether the next one shall. */

/**
 * Calls `call` for each middleware in order, with the function by which that one goes on. `done` gets the first error, or
 * nothing when all went on. A middleware that calls twice has what follows it run twice, as in socket.io.
 *
 * The list must not change meanwhile: a middleware may take its time, and one that is added then is not for what is already
 * under way.
 */
export function runMiddlewares<Middleware, Failure>(
  middlewares: readonly Middleware[],
  call: (middleware: Middleware, next: (error?: Failure) => void) => void,
  done: (error?: Failure) => void,
): void {
  const step = (i: number): void => {
    const middleware = middlewares[i];
    if (middleware === undefined) done();
    else call(middleware, (error) => (error ? done(error) : step(i + 1)));
  };
  step(0);
}
