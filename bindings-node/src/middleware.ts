/** Runs middleware: functions that are called one after the other. */

/**
 * Calls each middleware, by `call`, when the one before it has called `next()`. Then calls `done`, or calls it with
 * the first error. A middleware that calls `next` twice runs what follows twice, as in socket.io.
 *
 * The list must not change meanwhile: one that is added later does not count for what is already under way.
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
