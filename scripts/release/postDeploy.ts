/**
 * The verification after a release: no row of the snapshot is gone, the application answers, and the
 * project's own tests pass. Gives the lease back.
 */
import { giveBackLease } from "../control/lease";
import { Failure, UsageError } from "../contract/failure";
import type { DatabaseTarget } from "../database/target";
import { type Receipt, type TrustedReceipt, listReceipts, readTrustedReceipt } from "../record/receipt";
import { isOpen, listOpenReceipts, readEvents } from "../record/releaseEvents";
import { type NewNote, recordNote } from "../record/releaseNotes";
import { tellTeam } from "../record/teamNotice";
import type { Store } from "../store/store";
import { type HealthReport, demandAddresses, runHealthChecks } from "../verification/healthChecks";
import { type ReceiptVerification, openIncidentFor, verifyReceipt } from "../verification/verifyReceipt";
import { runDeployCommand } from "./deployCommand";
import { type AutomaticRollback, rollBackOnFailure } from "./rollbackOnFailure";
import type { Platforms } from "./rollbackTargets";

export interface PostDeployInput {
  readonly store: Store;
  readonly target: DatabaseTarget;
  /** Which receipt; default: the newest open one, else the newest. */
  readonly runId?: string;
  readonly addresses: { readonly appUrl: string | undefined; readonly frontendUrl: string | undefined };
  /** To roll the application back, where the settings say so. */
  readonly clients: Platforms;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

export interface PostDeployResult {
  readonly verdict: "pass" | "fail";
  readonly runId: string;
  readonly releaseVersion: string;
  /** Null: the receipt was verified before and is closed. */
  readonly data: ReceiptVerification | null;
  readonly health: HealthReport;
  /** Null: none configured. */
  readonly integration: { readonly passed: boolean; readonly message: string } | null;
  /** Null: it passed, a person decides, or the release was verified before. */
  readonly rollback: AutomaticRollback | null;
  readonly findings: readonly string[];
}

/** How long the integration tests may take. */
const integrationSeconds = 1800;

/**
 * @throws UsageError, before anything is compared, when an address for the health checks is none.
 */
export async function verifyPostDeploy(input: PostDeployInput): Promise<PostDeployResult> {
  const trusted = await chooseReceipt(input);
  const { receipt } = trusted;
  // A receipt that is closed is of a release that went well: what fails now has another cause.
  const wasOpen = await isOpen(input.store, receipt.runId);
  const addresses = addressesOf(input, receipt);
  demandAddresses(addresses);
  try {
    const data = await verifyData(input, trusted);
    const health = await runHealthChecks({ ...addresses, settings: receipt.settings.health, signal: input.signal });
    const integration = await runIntegration(receipt.settings.integrationCommand, input);
    await noteAnswers(input, receipt.runId, health, integration);
    const findings = [
      ...(data?.findings ?? []),
      ...health.results
        .filter(({ ok }) => !ok)
        .map(({ url, status, error }) => `${url}: ${error ?? `status ${status ?? "none"}`}`),
      ...(integration === null || integration.passed ? [] : [`integration tests: ${integration.message}`]),
    ];
    const failed = findings.length > 0 && wasOpen;
    if (failed) await openIncidentFor({ ...input, receipt }, data?.comparison);
    const rollback = failed ? await rollBackOnFailure({ ...input, trusted, addresses }) : null;
    if (wasOpen) await tellEnd(input, receipt, { findings: findings.length, rollback });
    return {
      verdict: findings.length === 0 ? "pass" : "fail",
      runId: receipt.runId,
      releaseVersion: receipt.releaseVersion,
      data,
      health,
      integration,
      rollback,
      findings: rollback === null ? findings : [...findings, rollback.summary],
    };
  } finally {
    await giveBackLease(input.store, receipt.runId);
  }
}

async function tellEnd(
  { store, onProgress }: PostDeployInput,
  run: Receipt,
  { findings, rollback }: { findings: number; rollback: AutomaticRollback | null },
): Promise<void> {
  const text =
    findings === 0
      ? "live and verified, no row is lost"
      : `the verification failed with ${findings} finding${findings === 1 ? "" : "s"}; npm run db:verify:post-deploy shows them`;
  const undone = rollback?.result ? `; application: ${rollback.result.verdict}` : "";
  const event = findings === 0 ? "release-passed" : "release-failed";
  await tellTeam(
    { event, text: `${text}${undone}`, run },
    { store, templates: run.settings.communication.templates, onProgress },
  );
}

/** For the checklists: what was asked after the release, and how it answered. What is not configured proves nothing. */
async function noteAnswers(
  { store, onProgress }: Pick<PostDeployInput, "store" | "onProgress">,
  runId: string,
  { outcome, results }: HealthReport,
  integration: PostDeployResult["integration"],
): Promise<void> {
  const notes: NewNote[] = [];
  if (outcome !== "not configured") {
    const answered = results.filter(({ ok }) => ok).length;
    const detail = `${answered} of ${results.length} health checks answered`;
    notes.push({ kind: "endpoints", ok: outcome === "pass", detail });
  }
  if (integration !== null) {
    const detail = integration.passed ? "the integration tests passed" : `integration tests: ${integration.message}`;
    notes.push({ kind: "workflows", ok: integration.passed, detail });
  }
  try {
    for (const note of notes) await recordNote(store, runId, note);
  } catch (error) {
    // A note that is missing leaves an item open; it must not keep a failed release from being rolled back.
    if (!(error instanceof Failure)) throw error;
    onProgress(`warning: what answered is not recorded for the checklists: ${error.message}`);
  }
}

/**
 * The receipt that was asked for, else the newest open one, else the newest.
 *
 * @throws UsageError when the store holds no receipt, or not that one.
 */
export async function chooseReceipt(input: Pick<PostDeployInput, "store" | "runId">): Promise<TrustedReceipt> {
  const { store } = input;
  const runId = input.runId ?? (await listOpenReceipts(store)).at(-1) ?? (await listReceipts(store)).at(-1);
  if (runId === undefined) {
    throw new UsageError(`${store.url} holds no receipt: no release is recorded there`, {
      hint: "run the gate first: npm run gate",
    });
  }
  if (!(await listReceipts(store)).includes(runId))
    throw new UsageError(`${store.url} holds no receipt of run ${runId}`, {
      hint: "without --receipt it is the newest one; the folder receipts of the store names all",
    });
  return readTrustedReceipt(store, runId);
}

/**
 * A closed receipt is not compared again: it was proven right after its release, and its copy is spent.
 * One without any event guards a release made by hand, and is compared.
 */
async function verifyData(input: PostDeployInput, trusted: TrustedReceipt): Promise<ReceiptVerification | null> {
  const { store, signal, onProgress } = input;
  const { runId } = trusted.receipt;
  const closed = input.runId === undefined && !(await isOpen(store, runId)) && (await hasEvents(store, runId));
  if (closed) {
    onProgress(`receipt ${runId} was verified before: data not compared again`);
    return null;
  }
  return verifyReceipt({ store, ...trusted, live: input.target, signal, onProgress });
}

async function hasEvents(store: Store, runId: string): Promise<boolean> {
  return (await readEvents(store, runId)).length > 0;
}

/** Those of the environment, else those of the receipt. */
export function addressesOf(
  input: Pick<PostDeployInput, "addresses">,
  { addresses }: Receipt,
): PostDeployInput["addresses"] {
  return {
    appUrl: input.addresses.appUrl ?? addresses.appUrl ?? undefined,
    frontendUrl: input.addresses.frontendUrl ?? addresses.frontendUrl ?? undefined,
  };
}

export async function runIntegration(
  command: string | undefined,
  options: { signal: AbortSignal; onProgress: (line: string) => void },
): Promise<PostDeployResult["integration"]> {
  if (command === undefined) return null;
  try {
    const settings = { command, timeoutSeconds: integrationSeconds };
    return {
      passed: true,
      message: await runDeployCommand(settings, { signal: options.signal, onLine: options.onProgress }),
    };
  } catch (error) {
    if (options.signal.aborted) throw error;
    return { passed: false, message: error instanceof Error ? error.message : String(error) };
  }
}
