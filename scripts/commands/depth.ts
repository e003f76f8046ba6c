/** Depths on the command line: 1 to 4. */
import { InvalidArgumentError } from "commander";
import { type Depth, depthSchema } from "../verification/verifyBackup";

/** @throws InvalidArgumentError for anything else. */
export function parseDepth(text: string): Depth {
  const depth = depthSchema.safeParse(Number(text));
  if (!depth.success) throw new InvalidArgumentError(`found ${text}: expected 1, 2, 3 or 4`);
  return depth.data;
}
