/** What the replica's definitions lack of the source's, have otherwise, or have besides. */
import type { Client } from "pg";
import { readCatalog } from "../fingerprint/catalog";
import { type CatalogChange, catalogChanges } from "../fingerprint/compare";
import type { CatalogItem } from "../fingerprint/fingerprint";
import { ownSchema } from "./pair";

/** What only the replica has harms nothing. */
export async function readDrift(source: Client, replica: Client): Promise<CatalogChange[]> {
  return (await compareCatalogs(source, replica)).filter((each) => each.change !== "added" && !hasMoreRights(each));
}

/** On `public` a role that is no superuser has to give rights to the owners of what it copies (`replicaRole.ts`). */
function hasMoreRights({ kind, change, lost }: CatalogChange): boolean {
  return kind === "public-schema" && change === "changed" && lost.length === 0;
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
