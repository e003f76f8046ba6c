/** Level 1 as a verdict: what was found of the platform's own protection, against what is demanded of it. */
import { z } from "zod";
import { UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import type { DatabaseTarget } from "../database/target";
import type { Pace } from "../platforms/http";
import { Supabase, supabaseFromEnvironment } from "../platforms/supabase";
import { type PlatformSettings, platformRequirements } from "../settings";
import { demandsOf } from "./requirements";
import { serverPosture } from "./serverPosture";
import { supabasePosture } from "./supabasePosture";

export const postureCheckSchema = z.object({
  verdict: z.enum(["pass", "halt"]),
  /** Where it was read: `supabase` or `postgres`. */
  platform: z.enum(["supabase", "postgres"]),
  level: z.int(),
  findings: z.array(
    z.object({
      requirement: z.enum(platformRequirements),
      demand: z.enum(["require", "warn"]),
      outcome: z.enum(["met", "unmet", "unknown"]),
      found: z.string(),
    }),
  ),
});

export type PostureCheck = z.infer<typeof postureCheckSchema>;
export type PostureFinding = PostureCheck["findings"][number];

export interface PostureInput {
  readonly settings: PlatformSettings;
  /** Read for `postgres` only; throws UsageError where there is none. */
  readonly target: () => DatabaseTarget;
  /** Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Default: now. */
  readonly now?: Date;
  readonly signal?: AbortSignal;
}

/** A preview waits for it: what does not answer soon is reported as not readable. */
const pace: Pace = { attempt: 10_000, total: 25_000, firstPause: 300 };

/**
 * Reads only.
 *
 * @throws UsageError when a token or a project is missing or wrong. @throws Unavailable when nothing can be reached.
 */
export async function checkPosture(input: PostureInput): Promise<PostureCheck> {
  const { settings, now = new Date() } = input;
  const demands = demandsOf(settings);
  const supabase = supabaseOf(settings, input.env ?? process.env, input.signal);
  const found =
    supabase === undefined
      ? await withConnection(input.target(), (client) => serverPosture(client, settings, demands))
      : await supabasePosture({ supabase, settings, demands, now });
  const findings = found.flatMap((finding): PostureFinding[] => {
    const demand = demands[finding.requirement];
    return demand === "ignore" ? [] : [{ ...finding, demand }];
  });
  const halts = findings.some(isHalting);
  const platform = supabase === undefined ? "postgres" : "supabase";
  return { verdict: halts ? "halt" : "pass", platform, level: settings.level, findings };
}

/** Undefined: the server itself is asked. */
export function supabaseOf(
  settings: PlatformSettings,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Supabase | undefined {
  if (settings.kind === "postgres") return undefined;
  const access = supabaseFromEnvironment(env);
  if (access === undefined && settings.kind === "supabase") {
    throw new UsageError("SUPABASE_ACCESS_TOKEN: found nothing, although platform.kind is supabase: expected a token", {
      hint: "set it and SUPABASE_PROJECT_REF, or set platform.kind to postgres",
    });
  }
  if (access === undefined) return undefined;
  return new Supabase(access, { pace, ...(signal === undefined ? {} : { signal }) });
}

/** What is required must be proven: not being able to look is no proof. */
export function isHalting({ demand, outcome }: PostureFinding): boolean {
  return demand === "require" && outcome !== "met";
}

/** `backup: no completed backup; expected one younger than 26 h`. */
export function describeFinding({ requirement, demand, outcome, found }: PostureFinding): string {
  if (outcome === "met") return `${requirement}: ${found}`;
  return `${demand === "require" ? "" : "WARNING "}${requirement}: ${found}`;
}
