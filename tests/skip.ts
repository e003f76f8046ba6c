/** Skipping says why: a test that did not run must not look like one that is switched off. */

/**
 * Skips the running test, or from a `before` hook every test of its suite; the report shows
 * `<title> (skipped: <reason>)`. Call it as `return skip(this, "no pulumi on PATH")`.
 */
export function skip(context: Mocha.Context, reason: string): void {
  const running = context.test as Mocha.Test | Mocha.Hook | undefined;
  const note = (test: Mocha.Runnable) => (test.title += ` (skipped: ${reason})`);
  if (running?.type === "hook") running.parent?.eachTest(note);
  else if (running) note(running);
  context.skip();
}
