/** Depths on the command line. */
import { InvalidArgumentError } from "commander";
import { type Depth, depthSchema } from "../verification/verificationResult";

/** 1 to 5. @throws InvalidArgumentError for anything else. */
export function parseDepth(text: string): Depth {
  const depth = depthSchema.safeParse(Number(text));
  if (!depth.success) throw new InvalidArgumentError(`found ${text}: expected 1, 2, 3, 4 or 5`);
  return depth.data;
}

/** 1 to 4, for a backup that is just being taken. @throws InvalidArgumentError for anything else. */
export function parseDepthOfBackup(text: string): Depth {
  if (text !== "5") return parseDepth(text);
  throw new InvalidArgumentError("found 5: expected 1, 2, 3 or 4; db:verify goes to 5");
}
