/**
 * Several stores written in one pass. The first one counts: what it holds, all required others hold as well, because
 * an object becomes visible in it last. What decides who may release lies in the first alone.
 */
import { Readable } from "node:stream";
import { Damage, Unavailable, messageOf } from "../contract/failure";
import { orAbort } from "./chunks";
import { FileStore } from "./fileStore";
import { liesInFirstOnly } from "./layout";
import { AlreadyExists, NotFound, type Removability, type Store, type StoredObject, type Versioned } from "./store";
import { Branch, pump, watchPace } from "./tee";

/** A store beside the first one. */
export interface Copy {
  readonly store: Store;
  /** Without a required one nothing is written; an optional one may be lost. */
  readonly required: boolean;
}

/** For how long the others wait for one store alone before an optional one is lost, and a required one is named. */
const patience = 60_000;

export class ReplicatedStore implements Store {
  readonly #first: Store;
  readonly #others: readonly Copy[];
  /** Optional ones that failed: nothing more is written to them, or a backup there would have holes. */
  readonly #lost = new Set<Copy>();
  /** What is written to each of the others now. */
  readonly #writing = new Map<Copy, Set<Branch>>();
  readonly #warnings: string[] = [];
  readonly #onWarning: (line: string) => void;
  readonly #patience: number;

  /** @param milliseconds for which the others wait for one store alone. Default: a minute. */
  constructor(
    first: Store,
    others: readonly Copy[],
    onWarning: (line: string) => void = () => undefined,
    milliseconds = patience,
  ) {
    this.#first = first;
    this.#others = others;
    this.#onWarning = onWarning;
    this.#patience = milliseconds;
  }

  /** That of the first one. */
  get url(): string {
    return this.#first.url;
  }

  pageOf(key: string): string | undefined {
    return this.#first.pageOf(key);
  }

  get warnings(): readonly string[] {
    return [...this.stores.flatMap(({ warnings }) => warnings), ...this.#warnings];
  }

  /** All of them, the first one first. */
  get stores(): readonly Store[] {
    return [this.#first, ...this.#others.map(({ store }) => store)];
  }

  /** Whether a run may go on without that one of `stores`. */
  isOptional(store: Store): boolean {
    return this.#others.some((copy) => copy.store === store && !copy.required);
  }

  async create(key: string, body: Readable | Buffer, signal?: AbortSignal): Promise<number> {
    const others = liesInFirstOnly(key) ? [] : this.#living();
    if (others.length === 0) return this.#first.create(key, body, signal);
    if (body instanceof Readable) return this.#createFrom(key, body, others, signal);
    await this.onOthers((store, abandoned) => store.create(key, body, either(abandoned, signal)), signal);
    return this.#first.create(key, body, signal);
  }

  /** From the first store that has it and can be reached. */
  async read(key: string): Promise<Readable> {
    const [store, ...spare] = liesInFirstOnly(key) ? [this.#first] : this.#readable();
    if (store === undefined || spare.length === 0) return this.#first.read(key);
    const opened = await this.#openAny(key, [store, ...spare]);
    const state = { body: opened.body };
    const stream = Readable.from(this.#chunks(key, state, opened.spare), { objectMode: false });
    // Also when the reader gave up before its first read, when the generator has nothing to clean up yet.
    stream.once("close", () => state.body.destroy());
    return stream;
  }

  /** Of the first store: what it lacks counts as absent. If it cannot be reached, of the next. */
  async list(prefix: string): Promise<StoredObject[]> {
    const stores = liesInFirstOnly(prefix) ? [this.#first] : this.#readable();
    return (await this.#any(stores, (store) => store.list(prefix), isUnavailable)).found;
  }

  readVersioned(key: string): Promise<Versioned | undefined> {
    return this.#first.readVersioned(key);
  }

  swap(key: string, body: Buffer, expected: string | undefined): Promise<string | undefined> {
    return this.#first.swap(key, body, expected);
  }

  /** The strictest of all stores that have it. */
  async removability(key: string): Promise<Removability | undefined> {
    const found: (Removability | undefined)[] = [await this.#first.removability(key)];
    await this.onOthers(async (store) => void found.push(await store.removability(key)));
    const known = found.filter((each) => each !== undefined);
    if (known.length === 0) return undefined;
    return {
      lockedUntil: known.map(({ lockedUntil }) => lockedUntil).reduce(later),
      expiring: known.every(({ expiring }) => expiring),
    };
  }

  /** In the first one first: it decides what exists. */
  async remove(key: string): Promise<void> {
    await this.#first.remove(key);
    await this.onOthers((store) => store.remove(key));
  }

  /** A folder has no rules that could remove it later: there it is removed at once. */
  async expire(key: string): Promise<void> {
    const expire = (store: Store): Promise<void> =>
      store instanceof FileStore ? store.remove(key) : store.expire(key);
    await expire(this.#first);
    await this.onOthers(expire);
  }

  async removeUnfinished(): Promise<number> {
    let removed = await this.#first.removeUnfinished();
    await this.onOthers(async (store) => void (removed += await store.removeUnfinished()));
    return removed;
  }

  /**
   * Does it in all stores but the first that are not lost, at once. An optional one that cannot be reached, takes too
   * long, or holds something else in its place, is lost.
   *
   * @param work is told by its signal that nobody waits for it any more.
   * @throws the first failure of a required one, once all have ended; what is a mistake or a bug in any.
   */
  async onOthers(
    work: (store: Store, abandoned: AbortSignal) => Promise<unknown>,
    signal?: AbortSignal,
  ): Promise<void> {
    const living = this.#living();
    const results = await Promise.allSettled(living.map((copy) => this.#withPatience(copy, work)));
    signal?.throwIfAborted();
    const fatal = results.flatMap((result, place): unknown[] => {
      const copy = living[place];
      if (result.status === "fulfilled" || copy === undefined || this.#lose(copy, result.reason)) return [];
      return [result.reason];
    });
    if (fatal.length > 0) throw fatal[0];
  }

  /** The others make it visible first, and the first one only if it was not lost on the way: see the head of the file. */
  async #createFrom(
    key: string,
    body: Readable,
    others: readonly Copy[],
    signal: AbortSignal | undefined,
  ): Promise<number> {
    // Until it is read, an early error of the stream must not count as unhandled.
    body.on("error", () => undefined);
    let failure: { error: unknown } | undefined;
    const stop = (error: unknown): void => {
      failure ??= { error };
      // Whoever produces the stream may wait for us.
      body.destroy(errorOf(error));
    };
    const copies = new Map<Branch, Copy>();
    const branches = others.map((copy) => {
      const branch: Branch = new Branch(
        (copied, abandoned) => copy.store.create(key, copied, either(abandoned, signal)),
        // What was broken off below failed for a reason that is known already.
        (error) => {
          if (failure === undefined && signal?.aborted !== true && !this.#lose(copy, error)) stop(error);
        },
      );
      copies.set(branch, copy);
      return branch;
    });
    const first = new Branch((copied) => this.#first.create(key, copied, signal), stop);
    for (const [branch, copy] of copies) this.#writingTo(copy).add(branch);
    const endWatch = watchPace([...branches, first], this.#patience, (slow) => this.#tooSlow(copies.get(slow)));
    try {
      await pump(body, [...branches, first], signal);
      await Promise.all(branches.map((branch) => branch.end()));
    } catch (error) {
      failure ??= { error };
    }
    try {
      if (signal?.aborted === true) failure = { error: signal.reason };
      if (failure === undefined) {
        const outcome = await first.end();
        if (outcome.status === "fulfilled") return outcome.value;
        failure = { error: outcome.reason };
      }
      const cause = errorOf(failure.error);
      await Promise.all([...branches, first].map((branch) => branch.breakOff(cause)));
      throw failure.error;
    } finally {
      endWatch();
      for (const [branch, copy] of copies) this.#writingTo(copy).delete(branch);
    }
  }

  #writingTo(copy: Copy): Set<Branch> {
    const found = this.#writing.get(copy) ?? new Set();
    this.#writing.set(copy, found);
    return found;
  }

  /** @param copy undefined: the first store. */
  #tooSlow(copy: Copy | undefined): void {
    const store = copy?.store ?? this.#first;
    const seconds = Math.round(this.#patience / 1000);
    const slow = new Unavailable(`store ${store.url}: the others waited for it for more than ${seconds} s`);
    if (copy === undefined || copy.required) this.#warn(`${slow.message}, half of the time or more: it is slow`);
    else this.#lose(copy, slow);
  }

  /** What takes long in a required store takes long; an optional one is given up. */
  async #withPatience(copy: Copy, work: (store: Store, abandoned: AbortSignal) => Promise<unknown>): Promise<unknown> {
    const abandoned = new AbortController();
    const working = work(copy.store, abandoned.signal);
    if (copy.required) return working;
    const timer = setTimeout(() => {
      const seconds = Math.round(this.#patience / 1000);
      abandoned.abort(new Unavailable(`store ${copy.store.url}: no answer within ${seconds} s`));
    }, this.#patience);
    return orAbort(working, abandoned.signal).finally(() => clearTimeout(timer));
  }

  #living(): Copy[] {
    return this.#others.filter((copy) => !this.#lost.has(copy));
  }

  #readable(): Store[] {
    return [this.#first, ...this.#living().map(({ store }) => store)];
  }

  /** @returns false when this is no loss that a run may live with. */
  #lose(copy: Copy, error: unknown): boolean {
    const isLoss = isUnavailable(error) || error instanceof AlreadyExists || error instanceof Damage;
    if (copy.required || !isLoss) return false;
    if (this.#lost.has(copy)) return true;
    this.#lost.add(copy);
    this.#warn(`the optional store ${copy.store.url} is lost for this run: ${messageOf(error)}`);
    // What is written to it elsewhere in this run would wait for it just as long.
    for (const branch of this.#writingTo(copy)) branch.abandon(error);
    return true;
  }

  #warn(line: string): void {
    if (this.#warnings.includes(line)) return;
    this.#warnings.push(line);
    this.#onWarning(line);
  }

  async #openAny(key: string, stores: readonly Store[]): Promise<{ body: Readable; spare: readonly Store[] }> {
    const opened = await this.#any(stores, (store) => store.read(key), isMissing);
    return { body: opened.found, spare: opened.spare };
  }

  /** What the first of `stores` says that can; what the very first one said, when none can. */
  async #any<T>(
    stores: readonly Store[],
    ask: (store: Store) => Promise<T>,
    goesOn: (error: unknown) => boolean,
  ): Promise<{ found: T; spare: readonly Store[] }> {
    let failure: { error: unknown } | undefined;
    for (const [place, store] of stores.entries()) {
      try {
        const found = await ask(store);
        if (failure !== undefined) this.#warn(`read from ${store.url} instead: ${messageOf(failure.error)}`);
        return { found, spare: stores.slice(place + 1) };
      } catch (error) {
        failure ??= { error };
        if (!goesOn(error)) break;
      }
    }
    throw failure?.error;
  }

  /** All bytes, from as many stores as it takes: the copies are equal, byte for byte. */
  async *#chunks(key: string, state: { body: Readable }, spare: readonly Store[]): AsyncGenerator<Buffer> {
    let passed = 0;
    let skip = 0;
    let left = spare;
    let chunks: AsyncIterator<Buffer> = state.body[Symbol.asyncIterator]();
    for (;;) {
      let chunk: IteratorResult<Buffer, unknown>;
      // Not around the yield: an error that the reader throws in must not count as one of the store.
      try {
        chunk = await chunks.next();
      } catch (error) {
        const [next] = left;
        if (!isUnavailable(error) || next === undefined) throw error;
        const opened = await this.#openAny(key, left).catch(() => {
          throw error;
        });
        this.#warn(`read on from ${next.url}: ${messageOf(error)}`);
        state.body = opened.body;
        chunks = state.body[Symbol.asyncIterator]();
        left = opened.spare;
        skip = passed;
        continue;
      }
      if (chunk.done === true) return;
      const rest = chunk.value.subarray(Math.min(skip, chunk.value.length));
      skip -= chunk.value.length - rest.length;
      passed += rest.length;
      if (rest.length > 0) yield rest;
    }
  }
}

/** The stores that a store consists of, the one that counts first. */
export function storesOf(store: Store): readonly Store[] {
  return store instanceof ReplicatedStore ? store.stores : [store];
}

function isUnavailable(error: unknown): error is Unavailable {
  return error instanceof Unavailable;
}

function isMissing(error: unknown): boolean {
  return isUnavailable(error) || error instanceof NotFound;
}

function either(abandoned: AbortSignal, signal: AbortSignal | undefined): AbortSignal {
  return signal === undefined ? abandoned : AbortSignal.any([abandoned, signal]);
}

function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

function later(a: Removability["lockedUntil"], b: Removability["lockedUntil"]): Removability["lockedUntil"] {
  if (a === "forever" || b === "forever") return "forever";
  if (a === null || b === null) return a ?? b;
  return a > b ? a : b;
}
