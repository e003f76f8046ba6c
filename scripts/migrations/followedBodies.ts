/**
 * Which bodies were judged already, and in what situation: a second call of the same function in the same situation
 * tells nothing new, and functions that call each other twice would otherwise be read 2^n times.
 */
import type { Routine } from "./scope";

/** Characters of bodies that are read again because the situation changed between two calls of them. */
const patience = 300_000;

export class FollowedBodies {
  readonly #seen = new Map<string, Set<string>>();
  #again = 0;

  /** `new`: judge it; `known`: it was judged just so; `too-often`: nobody can follow these calls in a reasonable time. */
  follow(routine: Routine, situation: string): "new" | "known" | "too-often" {
    const situations = this.#seen.get(routine.id);
    if (situations === undefined) {
      this.#seen.set(routine.id, new Set([situation]));
      return "new";
    }
    if (situations.has(situation)) return "known";
    situations.add(situation);
    this.#again += routine.end - routine.start;
    return this.#again > patience ? "too-often" : "new";
  }
}
