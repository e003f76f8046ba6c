/** Stands for the rehearsal in the packed program, which has no sources to rehearse with: see bin/pack.js. */
import type { Command } from "commander";
import { UsageError } from "../contract/failure";

export function configure(command: Command): void {
  command.allowUnknownOption().action(() => {
    throw new UsageError("the packed program has no rehearsal, which runs the sources", {
      hint: "run npm start in a clone of the project",
    });
  });
}
