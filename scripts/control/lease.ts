/**
 * The right to release, held by one run at a time. A gate takes the lease and renews it while it runs; when it
 * passed, the lease names its receipt and waits for the release; the verification after the release gives it
 * back. What may happen when is decided in `leaseDocument.ts`; here it is done, by compare-and-swap only.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Unavailable } from "../contract/failure";
import { leaseKey } from "../store/layout";
import type { Store } from "../store/store";
import { type ControlDocument, changeControl, readControl, swapControl } from "./controlDocument";
import {
  type LeaseDocument,
  claimOf,
  describeHolder,
  extended,
  isExpired,
  leaseSchema,
  passed,
  released,
  taken,
  thisHolder,
} from "./leaseDocument";

export { type CurrentReceipt, type LeaseDocument, currentReceipt, describeHolder } from "./leaseDocument";

export interface LeaseOptions {
  /** Seconds that the lease outlives its last renewal. Default 90. */
  readonly ttlSeconds?: number;
  /** Seconds to wait for a lease that another run holds. Default 0. */
  readonly waitSeconds?: number;
  /** Whether a passed lease of the same stack may be taken over before it expires. Default true; see `claimOf`. */
  readonly takeOver?: boolean;
  /** Ends the waiting; its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Told once when there is somebody to wait for. */
  readonly onWait?: (holder: string) => void;
}

/** The lease of a running gate. Ends by `pass` or `release`, whichever comes first. */
export interface Lease {
  /** Fencing token: greater than that of every lease before. */
  readonly token: number;
  /** Who held it until now, and why it could be taken; null when it was free. */
  readonly tookOver: string | null;
  /** Aborted, with an Unavailable as its reason, when another run took the lease or it could not be renewed in time. */
  readonly lost: AbortSignal;
  /**
   * Names the receipt that releases accept from now on.
   *
   * @throws Unavailable when the lease was lost, or the store cannot be written.
   */
  pass(receipt: {
    readonly receiptSha256: string;
    readonly releaseVersion: string;
    /** Seconds that the release and its verification have. Default 3,600. */
    readonly holdSeconds?: number;
  }): Promise<void>;
  /** Gives it back; nothing happens if another run has it. @throws Unavailable when the store cannot be written. */
  release(): Promise<void>;
}

/**
 * @throws Unavailable when another run holds the lease (and still does after `waitSeconds`), or the store cannot
 * be reached.
 */
export async function acquireLease(
  store: Store,
  who: { readonly stack: string; readonly runId: string },
  options: LeaseOptions = {},
): Promise<Lease> {
  const { ttlSeconds = 90, waitSeconds = 0, takeOver = true, signal, onWait } = options;
  const holder = thisHolder(who.stack, who.runId);
  const deadline = Date.now() + waitSeconds * 1000;
  let waiting = false;
  for (;;) {
    signal?.throwIfAborted();
    const current = await readControl(store, leaseKey, leaseSchema);
    const now = new Date();
    const claim = claimOf(current?.document, holder, now, { takeOver });
    if (claim.may) {
      const document = taken(current?.document, holder, now, ttlSeconds);
      const version = await swapControl(store, leaseKey, document, current?.version);
      const tookOver =
        current === undefined || claim.because === "free"
          ? null
          : `${describeHolder(current.document)}: ${claim.because}`;
      if (version !== undefined) return new HeldLease(store, { document, version }, tookOver, ttlSeconds);
      // Somebody was faster; see who, without a pause: of several that race one always gets on.
      continue;
    }
    const other = current === undefined ? "another run" : describeHolder(current.document);
    if (Date.now() >= deadline) throw heldBy(other, waitSeconds);
    if (!waiting) onWait?.(other);
    waiting = true;
    await pause(Math.min(1000 + Math.random() * 2000, Math.max(deadline - Date.now(), 10)), signal);
  }
}

/**
 * Only looks: nothing is taken.
 *
 * @throws Unavailable when another run holds the lease.
 */
export async function demandFreeLease(
  store: Store,
  who: { readonly stack: string; readonly runId: string; readonly takeOver: boolean },
): Promise<void> {
  const current = await readLease(store);
  if (current !== undefined && !claimOf(current, thisHolder(who.stack, who.runId), new Date(), who).may)
    throw heldBy(describeHolder(current), 0);
}

/** The lease as it stands, held or not; undefined before the first one. */
export async function readLease(store: Store): Promise<LeaseDocument | undefined> {
  return (await readControl(store, leaseKey, leaseSchema))?.document;
}

/**
 * Gives back the lease of a run whose process has ended, as the verification after the release does.
 *
 * @returns false when the lease is free already or names another run.
 */
export async function giveBackLease(store: Store, runId: string): Promise<boolean> {
  let mine = false;
  await changeControl(store, leaseKey, leaseSchema, (current) => {
    mine = current?.holder.runId === runId && current.phase !== "released";
    return mine && current !== undefined ? released(current, new Date()) : undefined;
  });
  return mine;
}

/**
 * Keeps a passed lease for at least this many seconds from now: for a release step that may take long.
 *
 * @throws Unavailable when the lease no longer names that run, so that the step must not go on.
 */
export async function extendLease(store: Store, runId: string, seconds: number): Promise<void> {
  await changeControl(store, leaseKey, leaseSchema, (current) => {
    const now = new Date();
    if (current?.holder.runId !== runId || current.phase !== "passed" || isExpired(current, now))
      throw lostTo(runId, current);
    const next = extended(current, now, seconds);
    return next === current ? undefined : next;
  });
}

class HeldLease implements Lease {
  readonly token: number;
  readonly tookOver: string | null;
  readonly lost: AbortSignal;
  readonly #store: Store;
  readonly #ttlSeconds: number;
  readonly #loss = new AbortController();
  #held: ControlDocument<LeaseDocument>;
  #renewalTimer: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  /** The renewal under way: `pass` and `release` must not overtake it. */
  #renewal: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(store: Store, held: ControlDocument<LeaseDocument>, tookOver: string | null, ttlSeconds: number) {
    this.token = held.document.token;
    this.tookOver = tookOver;
    this.lost = this.#loss.signal;
    this.#store = store;
    this.#held = held;
    this.#ttlSeconds = ttlSeconds;
    this.#watchExpiry();
    this.#renewIn(ttlSeconds / 3);
  }

  async pass(receipt: { receiptSha256: string; releaseVersion: string; holdSeconds?: number }): Promise<void> {
    await this.#end();
    this.lost.throwIfAborted();
    const next = passed(this.#held.document, receipt, new Date(), receipt.holdSeconds ?? 3600);
    if (!(await this.#swap(next))) throw lostTo(this.#held.document.holder.runId, await readLease(this.#store));
  }

  async release(): Promise<void> {
    await this.#end();
    // By token, not by version: a lease that counts as lost because a renewal hung may be ours all the same.
    await changeControl(this.#store, leaseKey, leaseSchema, (current) =>
      current?.token === this.token && current.phase !== "released" ? released(current, new Date()) : undefined,
    );
  }

  async #end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#renewalTimer);
    clearTimeout(this.#expiryTimer);
    await this.#renewal;
  }

  #renewIn(seconds: number): void {
    if (this.#ended || this.lost.aborted) return;
    this.#renewalTimer = setTimeout(() => {
      this.#renewal = this.#renew();
    }, seconds * 1000);
    // A gate that is done but for its lease may end.
    this.#renewalTimer.unref();
  }

  /** Also when a renewal neither succeeds nor fails: past its end, another run may take the lease any moment. */
  #watchExpiry(): void {
    clearTimeout(this.#expiryTimer);
    if (this.#ended) return;
    this.#expiryTimer = setTimeout(
      () => {
        this.#lose(new Unavailable("the release lease expired before the store let it be renewed"));
      },
      Date.parse(this.#held.document.expiresAt) - Date.now(),
    );
    this.#expiryTimer.unref();
  }

  /** Never throws: what goes wrong shows in `lost`. */
  async #renew(): Promise<void> {
    try {
      if (await this.#swap(extended(this.#held.document, new Date(), this.#ttlSeconds))) {
        this.#watchExpiry();
        this.#renewIn(this.#ttlSeconds / 3);
      } else {
        this.#lose(lostTo(this.#held.document.holder.runId, await readLease(this.#store)));
      }
    } catch {
      // The store may be back before the lease expires: until then nobody else can take it.
      this.#renewIn(this.#ttlSeconds / 9);
    }
  }

  #lose(why: Unavailable): void {
    clearTimeout(this.#expiryTimer);
    this.#loss.abort(why);
  }

  async #swap(next: LeaseDocument): Promise<boolean> {
    const version = await swapControl(this.#store, leaseKey, next, this.#held.version);
    if (version === undefined) return false;
    this.#held = { document: next, version };
    return true;
  }
}

function heldBy(holder: string, waitSeconds: number): Unavailable {
  return new Unavailable(`the release lease is held by ${holder}`, {
    hint:
      waitSeconds === 0
        ? "run again when it is done, wait for it with --wait 10m, or, if it was yours and you gave it up, --take-over"
        : "run again later",
  });
}

function lostTo(runId: string, current: LeaseDocument | undefined): Unavailable {
  const why =
    current === undefined
      ? "it is gone from the store"
      : current.holder.runId !== runId
        ? `it is held by ${describeHolder(current)}`
        : `it has ended (${current.phase}, until ${current.expiresAt})`;
  return new Unavailable(`run ${runId} no longer holds the release lease: ${why}`, {
    hint: "run the gate again before anything is released",
  });
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}
