/**
 * Are the required variables there, and are the critical ones as they were accepted? One answer, shared by
 * the gate's step, `env:check`, `env:snapshot` and the Pulumi program's provider.
 */
import { z } from "zod";
import type { EnvironmentSettings } from "../settings";
import type { Store } from "../store/store";
import { readStoreIdentity } from "../store/storeIdentity";
import {
  type EnvironmentChange,
  type EnvironmentComparison,
  compareEnvironment,
  digestedVariableSchema,
  environmentChangeSchema,
  hasExpired,
} from "./compare";
import { judgeContent } from "./content";
import type { EnvironmentKeys } from "./digest";
import { Keyring, type RootKeys } from "./keyring";
import { matchesAny } from "./namePatterns";
import { type EnvironmentSnapshot, keyOf, readBaseline } from "./snapshot";
import { type Observation, observeEnvironment } from "./sources";

/** Names, digests and reasons; never a value. */
export const environmentCheckSchema = z.object({
  verdict: z.enum(["pass", "halt"]),
  /** Name of the accepted snapshot that was compared with, or null. */
  baseline: z.string().nullable(),
  /** Whether there was something to compare with. `no store identity`: nothing was ever stored there. */
  comparison: z.enum(["compared", "no baseline", "no store identity", "no store"]),
  /** Without a store's salt there are no digests. */
  variables: z.array(digestedVariableSchema.partial({ digest: true })),
  changes: z.array(environmentChangeSchema),
  /** Names that the baseline did not watch yet. */
  newlyWatched: z.array(z.string()),
  /** Required names or patterns that no source holds a non-empty value for. */
  missing: z.array(z.string()),
  /** Why it halts, by variable name: what an override of the gate can speak of. Empty when the verdict is pass. */
  findings: z.array(z.object({ name: z.string(), message: z.string() })),
  /** For people: one line for each variable that is missing or differs, then what it was compared with. */
  lines: z.array(z.string()),
});

export type EnvironmentCheck = z.infer<typeof environmentCheckSchema>;

export interface EnvironmentInput {
  /** Undefined while its address is not known (the first preview): then only required names are checked. */
  readonly store: Store | undefined;
  readonly settings: EnvironmentSettings;
  /** Source `process`, and where `BACKUP_PASSPHRASE` and `BACKUP_KMS_KEY` are. Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** What dotenv paths are relative to. Default: the working folder. */
  readonly folder?: string;
  /** Default: now. */
  readonly now?: Date;
  readonly signal?: AbortSignal;
}

/** Everything that was read, with the values in `observation`: stays inside this process. */
export interface Assessment {
  readonly check: EnvironmentCheck;
  readonly observation: Observation;
  /** What the next snapshot is made with; undefined when the store has no identity yet. */
  readonly next: RootKeys | undefined;
  readonly baseline: EnvironmentSnapshot | undefined;
}

/**
 * Reads only.
 *
 * @throws UsageError when a dotenv file or the passphrase is missing, or the passphrase is not the store's.
 * @throws Damage when the accepted snapshot is damaged. @throws Unavailable when the store is, or KMS. @throws Refusal
 *   without the right to the key of KMS.
 */
export async function checkEnvironment(input: EnvironmentInput): Promise<EnvironmentCheck> {
  return (await assessEnvironment(input)).check;
}

export async function assessEnvironment(input: EnvironmentInput): Promise<Assessment> {
  const { store, settings } = input;
  const env = input.env ?? process.env;
  const now = input.now ?? new Date();
  const observation = await observeEnvironment(settings, env, input.folder ?? process.cwd(), input.signal);
  const projectRef = env["SUPABASE_PROJECT_REF"] || undefined;
  const identity = store === undefined ? undefined : await readStoreIdentity(store);
  if (store === undefined || identity === undefined) {
    const comparison = store === undefined ? "no store" : "no store identity";
    return {
      check: judge(observation, settings, { comparison, now, projectRef }),
      observation,
      next: undefined,
      baseline: undefined,
    };
  }
  const keyring = new Keyring(identity, env, { signal: input.signal });
  const opened = await readBaseline(store, keyring);
  const baseline = opened?.snapshot;
  const next = await keyring.next(baseline === undefined ? undefined : keyOf(baseline, keyring));
  const comparison = baseline === undefined ? "no baseline" : "compared";
  const keys = opened?.keys ?? next;
  const check = judge(observation, settings, { comparison, now, projectRef, keys, baseline });
  return { check, observation, next, baseline };
}

interface Circumstances {
  readonly comparison: EnvironmentCheck["comparison"];
  readonly now: Date;
  /** `SUPABASE_PROJECT_REF`. */
  readonly projectRef: string | undefined;
  readonly keys?: EnvironmentKeys;
  readonly baseline?: EnvironmentSnapshot | undefined;
}

function judge(
  observation: Observation,
  settings: EnvironmentSettings,
  circumstances: Circumstances,
): EnvironmentCheck {
  const { keys, baseline, now } = circumstances;
  const digested = keys === undefined ? [] : digestVariables(observation.variables, keys);
  const { changes, newlyWatched }: EnvironmentComparison =
    baseline === undefined ? { changes: [], newlyWatched: [] } : compareEnvironment(digested, baseline, settings, now);
  const missing = settings.required.filter((name) => !isPresent(name, observation));
  const where = observation.scope.map(({ source, target }) => describePlace(source, target)).join(", ");
  const unreadable = observation.variables.filter(
    ({ name, kind }) => kind === "unreadable" && matchesAny(name, [...settings.critical, ...settings.required]),
  );
  const wrong =
    settings.content === "ignore"
      ? []
      : judgeContent(observation.variables, circumstances.projectRef, now).map(
          ({ name, source, target, wrong: what }) => ({
            name,
            message: `${name} (${describePlace(source, target)}): ${what}`,
          }),
        );
  const findings = [
    ...(settings.content === "require" ? wrong : []),
    ...(settings.strict ? unreadable : []).map((variable) => ({
      name: variable.name,
      message: `${describeUnreadable(variable)}: environment.strict halts`,
    })),
    ...missing.map((name) => ({ name, message: `${name}: required, but missing or empty in ${where}` })),
    ...changes.flatMap((change) =>
      change.refusal === undefined ? [] : [{ name: change.name, message: describeChange(change) }],
    ),
  ];
  return {
    verdict: findings.length === 0 ? "pass" : "halt",
    baseline: baseline?.name ?? null,
    comparison: circumstances.comparison,
    variables: keys === undefined ? observation.variables.map(withoutValue) : digested,
    changes: [...changes],
    newlyWatched: newlyWatched.map(({ name }) => name),
    missing,
    findings,
    lines: [
      ...findings.map(({ message }) => message),
      ...(settings.content === "warn" ? wrong : []).map(({ message }) => `WARNING ${message}`),
      ...(settings.strict ? [] : unreadable).map(
        (variable) => `${describeUnreadable(variable)}; a change is told by its last edit`,
      ),
      ...changes.filter(({ refusal }) => refusal === undefined).map(describeChange),
      ...newlyWatched.map(
        ({ name, source, target }) => `${name} (${describePlace(source, target)}): watched from now on`,
      ),
      ...settings.acknowledgements
        .filter((acknowledgement) => hasExpired(acknowledgement, now))
        .map(
          ({ name, person, expires }) => `${name}: the acknowledgement by ${person} expired (${expires}): remove it`,
        ),
      describeComparison(circumstances, observation.variables.length),
    ],
  };
}

/** A variable without its value and digest. */
type Described = Omit<EnvironmentSnapshot["variables"][number], "digest">;

export function digestVariables(
  variables: readonly (Described & { readonly value: string })[],
  keys: EnvironmentKeys,
): EnvironmentSnapshot["variables"] {
  return variables.map((variable) => ({
    ...withoutValue(variable),
    digest: keys.digest(variable.name, variable.value),
  }));
}

function withoutValue({ name, source, target, kind, edited }: Described): Described {
  return { name, source, target, kind, ...(edited === undefined ? {} : { edited }) };
}

function isPresent(required: string, observation: Observation): boolean {
  return observation.variables.some(({ name, value }) => value !== "" && matchesAny(name, [required]));
}

export function describePlace(source: string, target: string): string {
  return source === "process" ? source : `${source} ${target}`;
}

function describeUnreadable({ name, source, target }: Observation["variables"][number]): string {
  return `${name} (${describePlace(source, target)}): its value cannot be read, and is in no snapshot`;
}

function describeChange(change: EnvironmentChange): string {
  const { edited } = change;
  const who = edited === undefined ? "" : ` at ${edited.at}${edited.by === null ? "" : ` by ${edited.by}`}`;
  const what = `${change.name} (${describePlace(change.source, change.target)}): ${change.change}${who}`;
  const { acknowledgement } = change;
  if (!change.critical) return `${what}; not critical, passes`;
  if (acknowledgement === undefined) return `${what}; critical: ${change.refusal}`;
  return `${what}; critical, acknowledged by ${acknowledgement.person} until ${acknowledgement.expires}: ${acknowledgement.reason}`;
}

function describeComparison({ comparison, baseline }: Circumstances, count: number): string {
  const read = `${count} ${count === 1 ? "variable" : "variables"} read`;
  switch (comparison) {
    case "compared":
      return `${read}, compared with ${baseline?.name} (accepted ${baseline?.acceptedAt})`;
    case "no baseline":
      return `${read}; no snapshot was accepted yet, so nothing to compare with: the gate accepts the first one when it passes`;
    case "no store identity":
      return `${read}; the store is still empty, so nothing to compare with: only required names were checked`;
    case "no store":
      return `${read}; the store's address is not known yet: only required names were checked`;
  }
}
