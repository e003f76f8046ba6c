/** What the replica's definitions lack of the source's, have otherwise, or have besides. */
import type { Client } from "pg";
import { readCatalog } from "../fingerprint/catalog";
import { type CatalogChange, catalogChanges } from "../fingerprint/compare";
import type { CatalogItem } from "../fingerprint/fingerprint";
import { ownSchema } from "./pair";

/** What only the replica has harms nothing. */
export async function readDrift(source: Client, replica: Client): Promise<CatalogChange[]> {
  return (await compareCatalogs(source, replica)).filter(({ change }) => change !== "added");
}

/** What only the replica has: a name that the source dropped, or gave to something else. */
export async function readSurplus(source: Client, replica: Client): Promise<CatalogChange[]> {
  return (await compareCatalogs(source, replica)).filter(({ change }) => change === "added");
}

/** Publications belong to one side. */
async function compareCatalogs(source: Client, replica: Client): Promise<CatalogChange[]> {
  const [there, here] = [await readCatalog(source), await readCatalog(replica)];
  const compared = ({ kind, name }: CatalogItem): boolean =>
    !kind.startsWith("publication") &&
    !name.endsWith(" (publication)") &&
    name !== ownSchema &&
    !name.startsWith(`${ownSchema}.`);
  return catalogChanges(there.filter(compared), here.filter(compared));
}
