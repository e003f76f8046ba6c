/** The tables of settings, from the zod schemas: key, default, what is allowed, meaning. */
import { z } from "zod";
import { stackConfigurationSchema } from "../../components/settings";
import { code, markdownTable } from "./markdown";

/** What `z.toJSONSchema` makes of a setting, with what the schema's `meta` adds. */
interface JsonSchema {
  readonly description?: string;
  /** In words, where the type does not tell it. */
  readonly allowed?: string;
  /** In words, what counts when the key is absent and the schema has no default. */
  readonly otherwise?: string;
  readonly default?: unknown;
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly const?: string | number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
}

export interface Setting {
  /** Such as `overrides[].what`, `tables.<table>.deletes`. */
  readonly key: string;
  /** Markdown. */
  readonly default: string;
  readonly allowed: string;
  readonly meaning: string;
}

/** What stands for the names that a user chooses as keys. */
const chosenNames: Readonly<Record<string, string>> = { tables: "<table>", thresholds: "<signal>" };

/** What the README's table of the stack's configuration describes, for it is no part of the settings document. */
const describedInReadme = ["level", "backupStore", "environmentKey", "releaseVersion", "appUrl", "frontendUrl"];

/** Every setting of the stack's configuration by its first key: those of the settings document and the stack's own. */
export function declaredSettings(): Map<string, Setting[]> {
  const schema = z.toJSONSchema(stackConfigurationSchema, { io: "input", unrepresentable: "any" }) as JsonSchema;
  return new Map(
    Object.entries(schema.properties ?? {})
      .filter(([key]) => !describedInReadme.includes(key))
      .map(([key, value]) => [key, merged(leaves(value, key, false))]),
  );
}

/** @throws when a setting has no description. */
export function settingsTable(settings: readonly Setting[]): string {
  return markdownTable(
    ["key", "default", "allowed", "meaning"],
    settings.map(({ key, default: value, allowed, meaning }) => {
      if (meaning === "") throw new Error(`the schema of ${key} says nothing of it: give it .describe() or .meta()`);
      return [code(key), value, allowed, meaning];
    }),
  );
}

function leaves(schema: JsonSchema, key: string, required: boolean): Setting[] {
  const { properties, additionalProperties, items } = schema;
  if (schema.description !== undefined) return [leaf(schema, key, required)];
  if (schema.oneOf !== undefined) return schema.oneOf.flatMap((variant) => leaves(variant, key, required));
  if (properties !== undefined)
    return Object.entries(properties).flatMap(([name, value]) =>
      leaves(value, `${key}.${name}`, schema.required?.includes(name) ?? false),
    );
  if (typeof additionalProperties === "object")
    return leaves(additionalProperties, `${key}.${chosenNames[key] ?? "<name>"}`, false);
  if (items?.properties !== undefined || items?.oneOf !== undefined) return leaves(items, `${key}[]`, false);
  return [leaf(schema, key, required)];
}

function leaf(schema: JsonSchema, key: string, required: boolean): Setting {
  const value = schema.default === undefined ? (schema.otherwise ?? "none") : shown(schema.default);
  return {
    ...{ key, default: required ? "required" : value },
    ...{ allowed: schema.allowed ?? allowedBy(schema), meaning: schema.description ?? "" },
  };
}

function shown(value: unknown): string {
  const values = [value].flat();
  return values.length === 0 ? "none" : values.map((one) => code(String(one))).join(", ");
}

/** What the type itself tells. */
function allowedBy(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map(code).join(", ");
  if (schema.const !== undefined) return code(String(schema.const));
  if (schema.anyOf !== undefined) return schema.anyOf.map(allowedBy).join(", ");
  if (schema.type === "boolean") return "`true`, `false`";
  if (schema.type === "integer" || schema.type === "number") return range(schema);
  if (Array.isArray(schema.type)) return `a ${schema.type[0]}, \`null\``;
  return "";
}

/** JavaScript's own bounds of whole numbers say nothing. */
function range({ type, minimum, maximum = Infinity, exclusiveMinimum }: JsonSchema): string {
  const number = (value: number): string => value.toLocaleString("en-US");
  const kind = type === "integer" ? "a whole number" : "a number";
  const bounded = maximum < Number.MAX_SAFE_INTEGER;
  if (exclusiveMinimum !== undefined)
    return `${bounded ? "" : `${kind} `}above ${number(exclusiveMinimum)}${bounded ? `, at most ${number(maximum)}` : ""}`;
  if (minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER) return kind;
  return bounded ? `${number(minimum)} to ${number(maximum)}` : `${kind} from ${number(minimum)} on`;
}

/** The variants of a union tell of the same key: one row. */
function merged(settings: readonly Setting[]): Setting[] {
  const byKey = new Map<string, Setting>();
  for (const setting of settings) {
    const before = byKey.get(setting.key);
    byKey.set(
      setting.key,
      before === undefined
        ? setting
        : {
            ...{ ...before, allowed: `${before.allowed}, ${setting.allowed}` },
            meaning: `${before.meaning}; ${setting.meaning}`,
          },
    );
  }
  return [...byKey.values()];
}
