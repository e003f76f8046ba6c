/**
 * The freeze: a marker that halts every gate and release. People set one by hand, a failed verification sets
 * one that names its receipt and the rows that are gone. Several may stand at once, and none ever hides
 * another: releases go on when all are lifted.
 */
import { z } from "zod";
import { Refusal } from "../contract/failure";
import { freezeKey } from "../store/layout";
import type { Store } from "../store/store";
import { changeControl, readControl } from "./controlDocument";

/** Missing rows by table (`schema.name`). */
const rowsByTable = z.record(z.string(), z.int().nonnegative());

const freezeSchema = z.object({
  state: z.enum(["active", "lifted"]),
  kind: z.enum(["manual", "failed-verification"]),
  /** The receipt that the verification failed against; null for a manual freeze. */
  runId: z.string().nullable(),
  reason: z.string(),
  person: z.string().nullable(),
  at: z.iso.datetime(),
  missingRows: rowsByTable,
  lifted: z
    .object({
      person: z.string(),
      reason: z.string(),
      at: z.iso.datetime(),
      /** Rows that were accepted as lost; null when nothing had to be accepted. */
      acceptedRows: rowsByTable.nullable(),
    })
    .optional(),
});

export type Freeze = z.infer<typeof freezeSchema>;

const freezeDocumentSchema = z.object({
  schemaVersion: z.literal(1),
  /** Oldest first: all that stand, and the last ones that were lifted. */
  freezes: z.array(freezeSchema),
});

export type FreezeDocument = z.infer<typeof freezeDocumentSchema>;

/** How many lifted freezes the document keeps. */
const keptLifted = 50;

export type NewFreeze = Pick<Freeze, "kind" | "runId" | "reason" | "person" | "missingRows">;

export interface FreezeLift {
  readonly person: string;
  readonly reason: string;
  /** Receipts against which a verification passed since the freeze. */
  readonly verifiedRunIds?: readonly string[];
  /**
   * Failed verifications that a person accepts, each with the missing rows, by table, that the freeze named to
   * that person: if it names more by now, nothing is lifted.
   */
  readonly accepted?: readonly { readonly runId: string; readonly rows: Readonly<Record<string, number>> }[];
}

/** The freeze that stands (of several the gravest, and of those the oldest), or undefined. */
export async function readFreeze(store: Store): Promise<Freeze | undefined> {
  const standing = await readFreezes(store);
  return standing.find(({ kind }) => kind === "failed-verification") ?? standing[0];
}

/** All freezes that stand, oldest first. */
export async function readFreezes(store: Store): Promise<Freeze[]> {
  const found = await readControl(store, freezeKey, freezeDocumentSchema);
  return (found?.document.freezes ?? []).filter(isActive);
}

/** Sets a freeze beside those that stand. Setting the same one again changes nothing, or adds the rows it lacks. */
export async function setFreeze(store: Store, freeze: NewFreeze, now: () => Date = () => new Date()): Promise<void> {
  await changeControl(store, freezeKey, freezeDocumentSchema, (current) => withFreeze(current, freeze, now()));
}

/**
 * Lifts every freeze that stands, or, when one may not be lifted, none. A manual freeze is lifted by anybody who
 * gives name and reason; a failed verification only when one passed since, or when its missing rows are accepted.
 *
 * @returns the freezes that stood; empty when there was none.
 * @throws Refusal naming the freezes that may not be lifted.
 */
export async function liftFreeze(
  store: Store,
  lift: FreezeLift,
  now: () => Date = () => new Date(),
): Promise<Freeze[]> {
  let lifted: Freeze[] = [];
  await changeControl(store, freezeKey, freezeDocumentSchema, (current) => {
    lifted = (current?.freezes ?? []).filter(isActive);
    return current === undefined || lifted.length === 0 ? undefined : withoutFreezes(current, lift, now());
  });
  return lifted;
}

/** The document with this freeze in it; undefined when it says so already. */
export function withFreeze(
  current: FreezeDocument | undefined,
  freeze: NewFreeze,
  now: Date,
): FreezeDocument | undefined {
  const freezes = current?.freezes ?? [];
  const same = freezes.findIndex((other) => isActive(other) && isSame(other, freeze));
  const known = freezes[same];
  if (known === undefined) {
    const added: Freeze = { ...freeze, state: "active", at: now.toISOString() };
    return trimmed([...freezes, added]);
  }
  const missingRows = { ...known.missingRows };
  for (const [table, rows] of Object.entries(freeze.missingRows))
    missingRows[table] = Math.max(rows, missingRows[table] ?? 0);
  const grown = Object.entries(missingRows).some(([table, rows]) => rows !== known.missingRows[table]);
  return grown ? { schemaVersion: 1, freezes: freezes.with(same, { ...known, missingRows }) } : undefined;
}

/** The document with every freeze lifted. @throws Refusal when one may not be. */
export function withoutFreezes(current: FreezeDocument, lift: FreezeLift, now: Date): FreezeDocument {
  const refused = current.freezes.filter((freeze) => isActive(freeze) && !mayLift(freeze, lift));
  if (refused.length > 0)
    throw new Refusal(`${refused.length} freeze(s) cannot be lifted: a verification failed and none has passed since`, {
      hint: "put the rows back and verify again, or accept the named rows as lost",
      details: refused.map(
        ({ runId, at, reason, missingRows }) =>
          `receipt ${runId ?? "unknown"}, ${at}: ${reason}${describeRows(missingRows)}`,
      ),
    });
  return trimmed(
    current.freezes.map((freeze) => {
      if (!isActive(freeze)) return freeze;
      const verified = freeze.kind === "manual" || isVerified(freeze, lift);
      const acceptedRows = verified ? null : freeze.missingRows;
      const lifted = { person: lift.person, reason: lift.reason, at: now.toISOString(), acceptedRows };
      return { ...freeze, state: "lifted" as const, lifted };
    }),
  );
}

function mayLift(freeze: Freeze, lift: FreezeLift): boolean {
  if (freeze.kind === "manual" || isVerified(freeze, lift)) return true;
  const accepted = lift.accepted?.find(({ runId }) => runId === freeze.runId);
  return (
    accepted !== undefined &&
    Object.entries(freeze.missingRows).every(([table, rows]) => (accepted.rows[table] ?? 0) >= rows)
  );
}

function isVerified(freeze: Freeze, lift: FreezeLift): boolean {
  return freeze.runId !== null && (lift.verifiedRunIds ?? []).includes(freeze.runId);
}

function isActive(freeze: Freeze): boolean {
  return freeze.state === "active";
}

/** A receipt has one freeze however often it is verified; by hand, another person or reason is another freeze. */
function isSame(one: Freeze, other: NewFreeze): boolean {
  if (one.kind !== other.kind || one.runId !== other.runId) return false;
  return one.kind === "failed-verification" || (one.person === other.person && one.reason === other.reason);
}

function trimmed(freezes: readonly Freeze[]): FreezeDocument {
  const oldest = freezes.filter((freeze) => !isActive(freeze)).slice(0, -keptLifted);
  return { schemaVersion: 1, freezes: freezes.filter((freeze) => !oldest.includes(freeze)) };
}

function describeRows(missingRows: Readonly<Record<string, number>>): string {
  const tables = Object.entries(missingRows).map(([table, rows]) => `${table} ${rows}`);
  return tables.length === 0 ? "" : ` (missing rows: ${tables.join(", ")})`;
}
