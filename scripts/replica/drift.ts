/** What the replica's definitions lack of the source's, or have otherwise. */
import type { Client } from "pg";
import { readCatalog } from "../fingerprint/catalog";
import { type CatalogChange, catalogChanges } from "../fingerprint/compare";
import type { CatalogItem } from "../fingerprint/fingerprint";
import { ownSchema } from "./pair";

/** Publications belong to one side. What only the replica has harms nothing. */
export async function readDrift(source: Client, replica: Client): Promise<CatalogChange[]> {
  const [there, here] = [await readCatalog(source), await readCatalog(replica)];
  const compared = ({ kind, name }: CatalogItem): boolean =>
    kind !== "publication" && name !== ownSchema && !name.startsWith(`${ownSchema}.`);
  return catalogChanges(there.filter(compared), here.filter(compared)).filter(({ change }) => change !== "added");
}
