/** What differs between two snapshots, or a snapshot and now: told by digest, so no value is opened for it. */
import type { EnvironmentSettings } from "../settings";
import { type DigestedVariable, compareEnvironment } from "./compare";
import { digestVariables, describePlace } from "./checkEnvironment";
import type { EnvironmentKeys } from "./digest";
import { type SnapshotAccess, openSnapshot, unseal } from "./openSnapshot";
import type { OpenedSnapshot } from "./snapshot";
import { observeEnvironment } from "./sources";

export interface SnapshotDifference {
  readonly name: string;
  readonly source: string;
  readonly target: string;
  readonly change: "added" | "removed" | "changed";
  readonly critical: boolean;
  /** The digests' first characters: what masks the values on either side. */
  readonly from: string | null;
  readonly to: string | null;
  readonly edited?: { readonly at: string; readonly by: string | null } | undefined;
}

export interface SnapshotDiff {
  readonly from: string;
  readonly to: string;
  readonly differences: readonly SnapshotDifference[];
}

export interface DiffInput {
  readonly access: SnapshotAccess;
  readonly settings: EnvironmentSettings;
  /** A snapshot's name, or `latest`. */
  readonly from: string;
  /** The same, or `now`. */
  readonly to: string;
  /** Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** What dotenv paths are relative to. Default: the working folder. */
  readonly folder?: string;
  readonly signal?: AbortSignal;
}

/** Reads only. @throws as `openSnapshot` and `observeEnvironment` do. */
export async function diffSnapshots(input: DiffInput): Promise<SnapshotDiff> {
  const { access, settings, env = process.env, folder = process.cwd() } = input;
  const { snapshot: from, keys } = await openSnapshot(access, input.from);
  let to: { readonly name: string; readonly variables: readonly DigestedVariable[] };
  if (input.to === "now") {
    const observation = await observeEnvironment(settings, env, folder, input.signal);
    to = { name: "now", variables: digestVariables(observation.variables, keys) };
  } else {
    const opened = await openSnapshot(access, input.to);
    // Digests under another root key say nothing: the values are opened, and digested anew under this one.
    to =
      opened.keys.keyCheck === keys.keyCheck
        ? opened.snapshot
        : { name: opened.snapshot.name, variables: await redigest(access, opened, keys) };
  }
  const { changes, newlyWatched } = compareEnvironment(to.variables, from, settings, new Date());
  const maskOf = (side: readonly DigestedVariable[], place: Place): string | null =>
    side.find((each) => samePlace(each, place))?.digest.slice(0, maskLength) ?? null;
  const shown = [
    ...changes,
    ...newlyWatched.map((variable) => ({ ...variable, change: "added" as const, critical: false })),
  ].map(({ name, source, target, change, critical, edited }) => ({
    ...{ name, source, target, change, critical, edited },
    from: maskOf(from.variables, { name, source, target }),
    to: maskOf(to.variables, { name, source, target }),
  }));
  return { from: from.name, to: to.name, differences: shown };
}

async function redigest(
  access: SnapshotAccess,
  opened: OpenedSnapshot,
  keys: EnvironmentKeys,
): Promise<DigestedVariable[]> {
  return digestVariables(await unseal(access, opened), keys);
}

/** `d1:` and six characters: enough to see which snapshots agree. */
const maskLength = 9;

type Place = Pick<DigestedVariable, "name" | "source" | "target">;

function samePlace(a: Place, b: Place): boolean {
  return a.name === b.name && a.source === b.source && a.target === b.target;
}

/** `SUPABASE_URL (vercel prj_1 production): changed d1:9f3a2b -> d1:77c01e, critical, by Ada at …`. */
export function describeDifference(difference: SnapshotDifference): string {
  const { name, source, target, change, critical, from, to, edited } = difference;
  const masks = [from, to].filter((mask) => mask !== null).join(" -> ");
  const who = edited === undefined ? "" : `, edited at ${edited.at}${edited.by === null ? "" : ` by ${edited.by}`}`;
  return `${name} (${describePlace(source, target)}): ${change} ${masks}${critical ? ", critical" : ""}${who}`;
}
