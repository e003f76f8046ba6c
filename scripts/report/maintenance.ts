/** The words for a maintenance: what the fence takes and cannot hold, what is done on the platforms, how it stands. */
import type { Maintenance } from "../control/maintenance";
import { describeIdentity } from "../database/identity";
import type { MaintenancePlan, MaintenanceStatus } from "../incident/maintenance";

/** Names in a line before the rest is only counted. */
const shown = 10;

function listed(names: readonly string[]): string {
  const more = names.length - shown;
  return `${names.slice(0, shown).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** For the question. */
export function describeRaising(plan: MaintenancePlan): string {
  const { identity, fenced, grants } = plan;
  const others = [...new Set(grants.map(({ grantee }) => grantee ?? "PUBLIC"))].filter(
    (grantee) => !fenced.roles.includes(grantee),
  );
  return [
    `keeps ${fenced.roles.join(", ")} from writing to ${describeIdentity(identity)}:`,
    `puts ${grants.length} right(s) to write on record and takes them away, ends the sessions of these roles and of those that can become them`,
    ...(others.length === 0 ? [] : [`by which these lose rights too, until then: ${listed(others)}`]),
    ...describeHoles(plan),
  ].join("\n");
}

export function describeHoles({
  functions,
  unheld,
  roles,
}: Pick<MaintenancePlan, "functions" | "unheld" | "roles">): string[] {
  return [
    ...(unheld.length === 0
      ? []
      : [`not held: this role may not take away the rights on ${listed(unheld)}: others granted them`]),
    ...(functions.length === 0
      ? []
      : [`not held: these functions write with their owner's rights: ${listed(functions)}`]),
    ...(roles.length === 0 ? [] : [`not held: these roles can log in and write: ${listed(roles)}`]),
  ];
}

/** What `off` will do on the platforms, for the question. */
export function describeClearing({ railway, vercel }: Maintenance["platforms"]): string[] {
  return [
    ...(railway === null
      ? []
      : [
          `railway: puts ${railway.variable} back (${railway.before === null ? "it was not set" : "to what it was"}), and deploys the service again where it was deployed with it`,
        ]),
    ...(vercel === null ? [] : [`vercel: takes the rule ${JSON.stringify(vercel.rule)} out of the firewall`]),
  ];
}

export function describeMaintenance(
  status: MaintenanceStatus & {
    /** Null: nothing is changed there. */
    readonly platforms: Readonly<Record<"railway" | "vercel", string | null>>;
  },
): string {
  const { state, roles, raisedAt, grants, unheld, refused, findings, platforms } = status;
  const { railway, vercel } = platforms;
  const fence =
    state === "off"
      ? "no write fence is up"
      : `write fence: ${state}, for ${roles.join(", ")}, since ${raisedAt ?? "unknown"}; ${grants} right(s) on record`;
  return [
    fence,
    ...(unheld.length === 0 ? [] : [`not held: ${listed(unheld)}`]),
    ...(railway === null ? [] : [`railway: ${railway}`]),
    ...(vercel === null ? [] : [`vercel: ${vercel}`]),
    ...findings.map((finding) => `finding: ${finding}`),
    ...(state === "on" && findings.length === 0 ? [`it holds: ${refused} write(s) tried, all refused`] : []),
  ].join("\n");
}
