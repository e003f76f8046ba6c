/** One of the processes that tests let race on a store, or kill: `storeActor.ts <store url> <act> [argument]`. */
import { Readable } from "node:stream";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { acquireLease } from "../../scripts/control/lease";
import { openStore } from "../../scripts/store/openStore";
import { AlreadyExists, type Store } from "../../scripts/store/store";

/** Tries to write keys 0 to N-1; prints those it wrote. */
async function create(store: Store, argument: string): Promise<void> {
  const won: number[] = [];
  await startTogether(store);
  for (let round = 0; round < Number(argument); round++) {
    try {
      await store.create(`marks/race/${round}`, Buffer.from(String(process.pid)));
      won.push(round);
    } catch (error) {
      if (!(error instanceof AlreadyExists)) throw error;
    }
  }
  console.log(JSON.stringify(won));
}

/** Adds one to a counter N times. */
async function count(store: Store, argument: string): Promise<void> {
  await startTogether(store);
  for (let added = 0; added < Number(argument);) {
    const current = await store.readVersioned("control/counter.json");
    const next = Buffer.from(String(Number(current?.body.toString() ?? "0") + 1));
    if ((await store.swap("control/counter.json", next, current?.version)) !== undefined) added += 1;
  }
  console.log("done");
}

/** Starts to write an object that never ends, larger than two parts of an upload. */
async function hang(store: Store, argument: string): Promise<void> {
  async function* endless(): AsyncGenerator<Buffer> {
    for (let megabytes = 0; megabytes < 20; megabytes++) yield Buffer.alloc(1024 * 1024);
    console.log("writing");
    await sleep(600_000);
  }
  await store.create(argument, Readable.from(endless()));
}

/** Takes the lease for that many seconds a time, and says when it is lost. */
async function lease(store: Store, argument: string): Promise<void> {
  const held = await acquireLease(store, { stack: "crm/other", runId: "run-child" }, { ttlSeconds: Number(argument) });
  console.log("held");
  held.lost.addEventListener("abort", () => {
    held.pass({ receiptSha256: "00", releaseVersion: "v" }).then(
      () => console.log("passed"),
      (error: unknown) => {
        console.log(`lost: ${(error as Error).message}`);
        process.exit(0);
      },
    );
  });
  await sleep(600_000);
}

/** Everybody is loaded and connected before anybody starts. */
async function startTogether(store: Store): Promise<void> {
  await store.list("control/");
  console.error("ready");
  await once(process.stdin, "data");
  process.stdin.destroy();
}

const acts = { create, count, hang, lease };
const [url, act = "", argument = ""] = process.argv.slice(2);
void acts[act as keyof typeof acts](openStore(url), argument);
