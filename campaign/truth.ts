/** No lie and no loss: what a command said is looked up in the database, in the store and in the oracle, without any code of the program that computes it. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { manifestSchema, type Manifest } from "../scripts/backup/manifest";
import { currentReceipt, readLease } from "../scripts/control/lease";
import { type Receipt, receiptSchema } from "../scripts/record/receipt";
import { urlOf } from "../scripts/scratch/cluster";
import { backupPrefix, manifestKey, receiptKey } from "../scripts/store/layout";
import { readBytes } from "../scripts/store/store";
import { type Oracle, type Rows, differences } from "./oracle";
import { freelyDeleted, readOdd, readShop } from "./shop";
import type { World } from "./world";

export class Truth {
  constructor(
    private readonly world: World,
    private readonly oracle: Oracle,
    /** The odd tables as they were made. */
    private readonly odd: ReadonlyMap<string, string>,
  ) {}

  async receipt(runId: string): Promise<Receipt> {
    return receiptSchema.parse(JSON.parse((await readBytes(this.world.store, receiptKey(runId))).toString()));
  }

  async manifest({ backup }: Pick<Receipt, "backup">): Promise<Manifest> {
    const { sha256: _, ...document } = JSON.parse(
      (await readBytes(this.world.store, manifestKey(backup.tier, backup.name))).toString(),
    ) as Record<string, unknown>;
    return manifestSchema.parse(document);
  }

  /** A gate that passed: its receipt is there and is that one, its backup is whole, and the copy holds what the snapshot shows. */
  async ofGate(runId: string, sha256: string, leaseLost: boolean): Promise<string[]> {
    const bytes = await readBytes(this.world.store, receiptKey(runId));
    const lies: string[] = [];
    if (sha256Of(bytes) !== sha256) lies.push(`the gate said receipt ${sha256}, the store has another`);
    const named = currentReceipt(await readLease(this.world.store));
    if (!leaseLost && named?.runId !== runId)
      lies.push(`the gate passed, and the lease names ${named?.runId ?? "no receipt"}`);
    const receipt = await this.receipt(runId);
    const manifest = await this.manifest(receipt);
    lies.push(...(await this.ofArchives(manifest)));
    const { scratch } = receipt;
    if (scratch === null) return [...lies, "the gate passed without a restored copy"];
    const server = scratch.kind === "external" ? this.world.lane.scratch.place : scratch.cluster;
    const copy = new Client({ connectionString: urlOf(server, scratch.database) });
    await copy.connect();
    try {
      lies.push(
        ...differences(this.oracle.at(manifest.snapshot.visibility), await readShop(copy), true).map(
          (line) => `the verified copy: ${line}`,
        ),
      );
      lies.push(...(await this.ofOdd(copy)).map((line) => `the verified copy: ${line}`));
    } finally {
      await copy.end();
    }
    return lies;
  }

  /** Every stored file has the length and the SHA-256 that the manifest names. */
  async ofArchives(manifest: Manifest): Promise<string[]> {
    const prefix = backupPrefix(manifest.tier, manifest.name);
    const lies: string[] = [];
    for (const { file, bytes, sha256 } of [...manifest.archives, manifest.fingerprint]) {
      const stored = await readBytes(this.world.store, `${prefix}${file}`).catch(() => Buffer.alloc(0));
      if (stored.length !== bytes || sha256Of(stored) !== sha256)
        lies.push(`${manifest.name}/${file} is not what its manifest names`);
    }
    return lies;
  }

  /** A verification that passed: no row of the snapshot that had to stay is missing. */
  async ofVerification(receipt: Receipt): Promise<string[]> {
    const { visibility } = (await this.manifest(receipt)).snapshot;
    const live = await this.live();
    const before = new Map([...this.oracle.at(visibility)].filter(([table]) => !freelyDeleted.includes(table)));
    return [...differences(before, live.shop, false), ...live.odd].map((line) => `verified, and ${line}`);
  }

  /** A frozen release: the file with missing keys names every row that is gone from the snapshot, and no other. Of tables with a key. */
  async ofNamedRows(runId: string): Promise<string[]> {
    const receipt = await this.receipt(runId);
    const [before, now] = [this.oracle.at((await this.manifest(receipt)).snapshot.visibility), this.oracle.now()];
    const named = namedKeys(join(this.world.folder, "reports", `missing-${runId}.ndjson`));
    return keyedTables.flatMap((table) => {
      const gone = [...(before.get(table)?.keys() ?? [])].filter((key) => now.get(table)?.has(key) !== true);
      const names = named.get(table) ?? new Set();
      const unnamed = gone.filter((key) => !names.has(key));
      const surplus = [...names].filter((key) => !gone.includes(key));
      return [
        ...(unnamed.length > 0
          ? [`${table}: ${unnamed.length} lost rows are not named: ${unnamed.slice(0, 5).join(", ")}`]
          : []),
        ...(surplus.length > 0
          ? [`${table}: ${surplus.length} rows are named that are not lost: ${surplus.slice(0, 5).join(", ")}`]
          : []),
      ];
    });
  }

  /** The live database against every acknowledged commit; nobody may be writing. */
  async ofLive(): Promise<string[]> {
    const live = await this.live();
    return [...differences(this.oracle.now(), live.shop, true), ...live.odd].map((line) => `live: ${line}`);
  }

  /** Another database of the live server. */
  async ofDatabase(name: string, expected: Rows): Promise<string[]> {
    const client = await this.world.connect(name);
    try {
      return differences(expected, await readShop(client), true).map((line) => `${name}: ${line}`);
    } finally {
      await client.end();
    }
  }

  private async live(): Promise<{ readonly shop: Rows; readonly odd: readonly string[] }> {
    const client = await this.world.connect();
    try {
      return { shop: await readShop(client), odd: await this.ofOdd(client) };
    } finally {
      await client.end();
    }
  }

  private async ofOdd(client: Client): Promise<string[]> {
    const found = await readOdd(client, [...this.odd.keys()]);
    return [...this.odd].flatMap(([table, digest]) =>
      found.get(table) === digest ? [] : [`${table}: ${digest} expected, found ${found.get(table) ?? "no such table"}`],
    );
  }
}

/** Followed tables whose rows a verification can name by their keys. */
const keyedTables = ["shop.orders", "shop.lines", "shop.measures"];

/** By followed table, keys as the oracle has them; rows of a partition are those of its table. */
function namedKeys(path: string): ReadonlyMap<string, ReadonlySet<string>> {
  const named = new Map<string, Set<string>>();
  for (const line of existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : []) {
    const { table: name, key } = JSON.parse(line) as { readonly table: string; readonly key: string };
    const table = name.replace(/^shop\.measures_\w+$/, "shop.measures");
    if (!keyedTables.includes(table)) continue;
    const columns = JSON.parse(key) as Readonly<Record<string, string>>;
    const [first, second] =
      table === "shop.orders" ? ["id"] : table === "shop.lines" ? ["order_id", "line"] : ["day", "name"];
    const text = second === undefined ? String(columns[first]) : `${columns[first]}/${columns[second]}`;
    named.set(table, (named.get(table) ?? new Set()).add(text));
  }
  return named;
}

function sha256Of(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
