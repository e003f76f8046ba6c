/** The machine on which something was measured, as it stands beside the figures. */
import { cpus, totalmem } from "node:os";
import { z } from "zod";

export const machineSchema = z.object({ cores: z.int(), cpu: z.string(), memoryBytes: z.number() });
export type Machine = z.infer<typeof machineSchema>;

export function thisMachine(): Machine {
  return { cores: cpus().length, cpu: cpus()[0]?.model.trim() ?? "", memoryBytes: totalmem() };
}

/** `2 cores (AMD EPYC), 24 GiB`. */
export function describeMachine({ cores, cpu, memoryBytes }: Machine): string {
  return `${cores} cores (${cpu || "unnamed"}), ${Math.round(memoryBytes / 2 ** 30)} GiB`;
}
