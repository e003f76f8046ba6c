/**
 * The record of a maintenance: which rights to write were taken from whom, and what was changed on the platforms, so that
 * exactly this is put back. It is written before anything is changed, and whoever changes it has the turn, one at a time.
 */
import { z } from "zod";
import { Refusal, Unavailable } from "../contract/failure";
import { type DatabaseIdentity, isSameDatabase } from "../database/identity";
import { type WriteGrant, grantKey, writeGrantSchema } from "../database/writeGrants";
import { maintenanceKey } from "../store/layout";
import type { Store } from "../store/store";
import { readControl } from "./controlDocument";
import { type TurnDocument, changeInTurn, describeTurn, takeTurn, turnSchema } from "./turn";

/** `setting`, `clearing`: begun, and not known to be whole. */
const platformState = z.enum(["setting", "on", "clearing"]);

/** The variable by which the application on Railway knows. */
const railwayMaintenanceSchema = z.object({
  ...{ environmentId: z.string(), serviceId: z.string() },
  ...{ variable: z.string(), value: z.string() },
  /** As it was written before; null: there was none. */
  before: z.string().nullable(),
  state: platformState,
  /** The newest deployment before the change that is under way. */
  latestBefore: z.string().nullable(),
  /** Whether what is live must be deployed again for that change to count. */
  redeploys: z.boolean(),
  /** Seconds that this may take. */
  seconds: z.int(),
});

export type RailwayMaintenance = z.infer<typeof railwayMaintenanceSchema>;

/** The rule in the firewall before production on Vercel. */
const vercelMaintenanceSchema = z.object({
  ...{ projectId: z.string(), rule: z.string() },
  /** Requests that hold it are let through: those of our own health checks. Not secret: the write fence holds for them too. */
  pass: z.string(),
  does: z.discriminatedUnion("action", [
    z.object({ action: z.literal("redirect"), location: z.string() }),
    z.object({ action: z.literal("deny") }),
  ]),
  state: platformState,
});

export type VercelMaintenance = z.infer<typeof vercelMaintenanceSchema>;

const maintenanceSchema = z.object({
  schemaVersion: z.literal(1),
  /** `raising`, `lifting`: begun, and not known to be whole. */
  state: z.enum(["raising", "on", "lifting", "off"]),
  database: z.object({ host: z.string(), port: z.int(), database: z.string(), systemIdentifier: z.string() }),
  /** Whom it keeps from writing. */
  roles: z.array(z.string()),
  raisedAt: z.iso.datetime(),
  /** What was taken away, of the live database and of restored ones that may stand in its place. */
  grants: z.array(writeGrantSchema),
  /** `schema.name` of what the role of DATABASE_URL could not take from them. */
  unheld: z.array(z.string()),
  /** What is changed on the platforms; null: nothing. */
  platforms: z
    .object({ railway: railwayMaintenanceSchema.nullable(), vercel: vercelMaintenanceSchema.nullable() })
    .prefault({ railway: null, vercel: null }),
  /** Who changes it now; null: nobody. */
  turn: turnSchema.nullable(),
});

export type Maintenance = z.infer<typeof maintenanceSchema>;

/** Undefined: it was never raised. */
export async function readMaintenance(store: Store): Promise<Maintenance | undefined> {
  return (await readControl(store, maintenanceKey, maintenanceSchema))?.document;
}

/** Whether rights to write are, or may be, taken away. */
export function isFenced(maintenance: Maintenance | undefined): maintenance is Maintenance {
  return maintenance !== undefined && maintenance.state !== "off";
}

/** The platforms on which something is, or may be, changed. */
export function changedPlatforms(maintenance: Maintenance | undefined): ("railway" | "vercel")[] {
  const { railway = null, vercel = null } = maintenance?.platforms ?? {};
  return [...(railway === null ? [] : (["railway"] as const)), ...(vercel === null ? [] : (["vercel"] as const))];
}

/** By this header a request gets past the redirection on Vercel. */
export const passHeader = "x-dbprotect-maintenance";

/** Headers that get a request past the redirection; none where nothing is redirected. */
export async function readPass(store: Store): Promise<Readonly<Record<string, string>>> {
  const vercel = (await readMaintenance(store))?.platforms.vercel ?? null;
  return vercel === null ? {} : { [passHeader]: vercel.pass };
}

/** @throws Refusal when the record is of another database. */
export function demandFenceOf(maintenance: Maintenance, identity: DatabaseIdentity): void {
  if (isSameDatabase(maintenance.database, identity)) return;
  const { host, port, database, systemIdentifier } = maintenance.database;
  throw new Refusal(
    `the write fence that is recorded is of ${host}:${port}/${database} (system ${systemIdentifier}), not of ${identity.host}:${identity.port}/${identity.database}: nothing was changed`,
    { hint: "set DATABASE_URL to that database, or lift its fence first: npm run deploy:maintenance -- off" },
  );
}

export interface MaintenanceTurn {
  /** As it was when the turn was taken. */
  readonly before: Maintenance;
  /** Adds grants, so that they are on record before they are taken. */
  add(grants: readonly WriteGrant[]): Promise<void>;
  notePlatforms(changed: Partial<Maintenance["platforms"]>): Promise<void>;
  /** Lets the next one begin. Without an outcome what was begun stays so. */
  end(outcome?: Partial<Pick<Maintenance, "state" | "unheld">>): Promise<void>;
}

/** Minutes after which a turn counts as given up, should nobody be able to see whether its process lives. */
const longestMinutes = 30;

const turnDocument: TurnDocument<typeof maintenanceSchema> = {
  ...{ key: maintenanceKey, schema: maintenanceSchema },
  busy: (turn) =>
    new Unavailable(`another run changes the write fence: ${describeTurn(turn)}`, {
      hint: `wait for it; at ${turn.expiresAt} it counts as given up`,
    }),
  lost: () => new Unavailable("another run changes the write fence: this one took too long", { hint: "run again" }),
};

/**
 * @param open makes the record that the turn begins with; `current` is what is there. It may be called several times.
 * @throws Unavailable when another run has the turn.
 */
export async function takeMaintenanceTurn(
  store: Store,
  runId: string,
  open: (current: Maintenance | undefined) => Omit<Maintenance, "turn">,
): Promise<MaintenanceTurn> {
  const taking = { runId, seconds: longestMinutes * 60 };
  const before = await takeTurn(store, turnDocument, taking, (current, turn) => ({ ...open(current), turn }));
  const change = (next: (current: Maintenance) => Maintenance): Promise<void> =>
    changeInTurn(store, turnDocument, runId, next);
  return {
    before,
    add: (grants) => change((current) => ({ ...current, grants: union(current.grants, grants) })),
    notePlatforms: (changed) => change((current) => ({ ...current, platforms: { ...current.platforms, ...changed } })),
    end: (outcome = {}) => change((current) => ({ ...current, ...outcome, turn: null })),
  };
}

function union(one: readonly WriteGrant[], other: readonly WriteGrant[]): WriteGrant[] {
  return [...new Map([...one, ...other].map((grant) => [grantKey(grant), grant])).values()];
}
