/** The fake of Railway serves published types only, and what the client asks is valid there. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  buildClientSchema,
  isEnumType,
  isInputObjectType,
  isObjectType,
  isRequiredArgument,
  isSpecifiedScalarType,
  parse,
  validate,
  type GraphQLField,
  type GraphQLSchema,
  type IntrospectionQuery,
} from "graphql";
import { railwayDocuments } from "../../scripts/platforms/railway";
import { railwaySchema } from "../../scripts/rehearsal/platforms/railwaySchema";
import { skip } from "../skip";

const description = join(__dirname, "../../../shared/api/railway.introspection.json");

/** `name(argument: Type, …): Type`, the whole of what a client can see of a field. */
function signature(field: GraphQLField<unknown, unknown>, names: readonly string[]): string {
  const list = names.map((name) => `${name}: ${String(field.args.find((argument) => argument.name === name)?.type)}`);
  return `${field.name}(${list.join(", ")}): ${String(field.type)}`;
}

describe("the fake's part of Railway's schema", () => {
  let published: GraphQLSchema;

  before(function () {
    if (!existsSync(description)) return skip(this, "no published description beside the clone");
    const document = JSON.parse(readFileSync(description, "utf8")) as {
      data?: IntrospectionQuery;
    } & IntrospectionQuery;
    // Railway's own schema deprecates a field that its interface does not: graphql-js calls that invalid.
    published = buildClientSchema(document.data ?? document, { assumeValid: true });
  });

  it("has the published types, fields and arguments", () => {
    const types = Object.values(railwaySchema.getTypeMap()).filter(
      (type) => !type.name.startsWith("__") && !isSpecifiedScalarType(type),
    );
    assert.ok(types.length >= 10);
    for (const type of types) {
      const original = published.getType(type.name);
      assert.ok(original !== undefined, `${type.name} is not published`);
      if (isObjectType(type) && isObjectType(original)) {
        for (const field of Object.values(type.getFields())) {
          const originalField: GraphQLField<unknown, unknown> | undefined = original.getFields()[field.name];
          assert.ok(originalField !== undefined, `${type.name}.${field.name} is not published`);
          const names = field.args.map(({ name }) => name);
          assert.equal(signature(field, names), signature(originalField, names));
          const demanded: string[] = originalField.args.filter(isRequiredArgument).map(({ name }) => name);
          assert.deepEqual(
            demanded.filter((name) => !names.includes(name)),
            [],
            `${type.name}.${field.name}`,
          );
        }
      } else if (isInputObjectType(type) && isInputObjectType(original)) {
        const shown = (fields: ReturnType<typeof type.getFields>): string[] =>
          Object.values(fields).map((field) => `${field.name}: ${String(field.type)}`);
        assert.deepEqual(shown(type.getFields()).sort(), shown(original.getFields()).sort());
      } else if (isEnumType(type) && isEnumType(original)) {
        const names = (values: ReturnType<typeof type.getValues>): string[] => values.map(({ name }) => name).sort();
        assert.deepEqual(names(type.getValues()), names(original.getValues()));
      } else {
        assert.equal(type.constructor.name, original.constructor.name, type.name);
      }
    }
  });

  for (const [name, document] of Object.entries(railwayDocuments)) {
    it(`accepts the client's ${name} request as the published schema does`, () => {
      assert.deepEqual(validate(published, parse(document)), []);
      assert.deepEqual(validate(railwaySchema, parse(document)), []);
    });
  }
});
