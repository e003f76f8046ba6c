/**
 * A Vercel project's environment variables. What Vercel calls sensitive, which is the default for production by now, is
 * given to nobody: such a value is absent here, and only its last edit tells of a change.
 */
import { z } from "zod";
import type { Vercel } from "./vercel";

export type VercelTarget = "production" | "preview" | "development";

const variableSchema = z.object({
  id: z.string(),
  key: z.string(),
  value: z.string().nullish(),
  /** `plain`, `encrypted`, `sensitive`, `system`, `secret`, or one that did not exist when this was written. */
  type: z.string(),
  target: z.union([z.array(z.string()), z.string()]).nullish(),
  gitBranch: z.string().nullish(),
  /** Milliseconds since 1970. */
  updatedAt: z.number().nullish(),
  updatedBy: z.string().nullish(),
  lastEditedByDisplayName: z.string().nullish(),
});

export interface VercelVariable {
  readonly id: string;
  readonly name: string;
  /** Undefined: Vercel does not give it. */
  readonly value: string | undefined;
  readonly type: string;
  /** All environments that share this value. */
  readonly targets: readonly string[];
  /** UTC, ISO 8601. */
  readonly editedAt: string | undefined;
  readonly editedBy: string | undefined;
}

/** Variables of one environment, without those of single branches and those that Vercel itself sets. */
export async function readVercelVariables(vercel: Vercel, target: VercelTarget): Promise<VercelVariable[]> {
  const schema = z.object({ envs: z.array(variableSchema) });
  const { envs } = await vercel.request("GET", `${vercel.projectPath("v10")}/env`, schema);
  const own = envs.filter((each) => targetsOf(each).includes(target) && !each.gitBranch && each.type !== "system");
  return Promise.all(own.map(async (each) => ({ ...describe(each), value: await valueOf(vercel, each) })));
}

/** Changes the value of one that exists, in all of its environments; type and environments stay. */
export async function updateVercelVariable(vercel: Vercel, id: string, value: string): Promise<void> {
  await vercel.request("PATCH", `${vercel.projectPath("v9")}/env/${encodeURIComponent(id)}`, z.unknown(), {
    body: { value },
  });
}

/** @throws PlatformRefusal when there is one of that name in that environment. */
export async function createVercelVariable(
  vercel: Vercel,
  target: VercelTarget,
  variable: { readonly name: string; readonly value: string },
): Promise<void> {
  await vercel.request("POST", `${vercel.projectPath("v10")}/env`, z.unknown(), {
    body: { key: variable.name, value: variable.value, type: "encrypted", target: [target] },
  });
}

type Listed = z.infer<typeof variableSchema>;

function targetsOf({ target }: Listed): string[] {
  return [target ?? []].flat();
}

function describe(each: Listed): Omit<VercelVariable, "value"> {
  return {
    id: each.id,
    name: each.key,
    type: each.type,
    targets: targetsOf(each),
    editedAt: typeof each.updatedAt === "number" ? new Date(each.updatedAt).toISOString() : undefined,
    editedBy: each.lastEditedByDisplayName ?? each.updatedBy ?? undefined,
  };
}

/** The list holds encrypted values as Vercel stores them; decrypted they come one by one. */
async function valueOf(vercel: Vercel, { id, type, value }: Listed): Promise<string | undefined> {
  if (type === "plain") return value ?? "";
  if (type !== "encrypted") return undefined;
  const path = `${vercel.projectPath("v1")}/env/${encodeURIComponent(id)}`;
  const found = await vercel.request("GET", path, z.object({ value: z.string().nullish() }));
  return found.value ?? undefined;
}
