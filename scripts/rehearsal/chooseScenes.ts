/** Which scenes a rehearsal plays, and in which order: the quick ones, all of them, or those with these numbers. */
import { UsageError } from "../contract/failure";
import { emergency } from "./emergencyScene";
import { failover } from "./failoverScene";
import { lostLocation } from "./locationScene";
import { unhealthyRelease } from "./rollbackScene";
import { type Scene, scenes } from "./scenes";
import { hiddenDelete } from "./trialScene";

export interface NumberedScene extends Scene {
  /** Its place among all scenes, from 1: the same whatever else is played. */
  readonly number: number;
}

/**
 * Those that take longer than what they add to a first impression, after the others. The emergency before the trial's scene: that one leaves a
 * backup that holds a trigger made by hand, whose absence afterwards is damage to whoever assesses.
 */
const slowScenes: readonly Scene[] = [unhealthyRelease, emergency, hiddenDelete, lostLocation, failover];

const numbered: readonly NumberedScene[] = [...scenes, ...slowScenes].map((scene, index) => ({
  ...scene,
  number: index + 1,
}));

/**
 * @param choice `default`, `all`, or numbers between commas or spaces: `1,4`. The first scene is always played: the
 *   others begin with what it released.
 * @throws UsageError for anything else.
 */
export function chooseScenes(choice: string): readonly NumberedScene[] {
  if (choice === "default") return numbered.slice(0, scenes.length);
  if (choice === "all") return numbered;
  const words = choice.split(/[\s,]+/).filter((word) => word !== "");
  const unknown = words.find((word) => !numbered.some(({ number }) => String(number) === word));
  if (words.length === 0 || unknown !== undefined)
    throw new UsageError(
      `--scenes: found ${JSON.stringify(unknown ?? choice)}: expected default, all, or numbers from 1 to ${numbered.length}: say --scenes 1,4`,
    );
  return numbered.filter(({ number }) => number === 1 || words.includes(String(number)));
}
