/** What several stores hold in common, where they differ, and what is copied between them. */
import { type Comparison } from "../replication/compareStores";
import { nameOf } from "../replication/copies";
import { type SyncPlan, bytesOf } from "../replication/syncStores";
import { renderTable } from "./table";

/** The last line says how far was looked: equal sizes are no proof of equal contents. */
export function renderComparison(comparison: Comparison): string {
  const { locations, unreachable, differences, equal, look } = comparison;
  const lines = [
    ...locations.map(({ store, copies }) => `${store.url}: ${copies.size} backups`),
    ...unreachable.map(({ store, problem }) => `${store}: NOT COMPARED: ${problem}`),
  ];
  if (differences.length > 0)
    lines.push(
      "",
      renderTable(differences, [
        { title: "STORE", value: ({ store }) => store },
        { title: "OBJECT", value: ({ object }) => object },
        { title: "IS", value: ({ kind }) => kind },
        { title: "BECAUSE", value: ({ detail }) => detail },
      ]),
      "",
    );
  const how = look === "contents" ? "every checksum read" : "by manifests and sizes; no archive was read";
  lines.push(`${equal} backups are the same in ${locations.length} stores (${how}), ${differences.length} differences`);
  return lines.join("\n");
}

export function comparisonDocument({ locations, ...comparison }: Comparison): object {
  const stores = locations.map(({ store, copies }) => ({ store: store.url, backups: copies.size }));
  return { stores, ...comparison };
}

export function renderSyncPlan(plan: SyncPlan): string {
  const { backups, documents, unclaimed } = plan;
  const lines = unclaimed.map(
    ({ store, identity }) => `${store.url} becomes a store of database ${identity.database.name}`,
  );
  if (backups.length > 0)
    lines.push(
      renderTable(backups, [
        { title: "BACKUP", value: ({ manifest }) => nameOf(manifest) },
        {
          title: "MB",
          value: ({ files }) => Number((files.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6).toFixed(1)),
        },
        { title: "FROM", value: ({ from }) => from.url },
        { title: "TO", value: ({ to }) => to.url },
      ]),
    );
  lines.push(
    `copies ${backups.length} backups (${(bytesOf(plan) / 1e6).toFixed(1)} MB) and ${documents.length} documents; nothing is replaced or removed`,
  );
  return lines.join("\n");
}

export function syncDocument({ backups, documents }: SyncPlan): object {
  return {
    backups: backups.map(({ manifest, from, to, files }) => ({
      backup: nameOf(manifest),
      from: from.url,
      to: to.url,
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    })),
    documents: documents.map(({ key, from, to }) => ({ key, from: from.url, to: to.url })),
  };
}
