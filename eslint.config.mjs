/** Lint rules: typescript-eslint's with types, and the one direction of imports (docs/architecture.md). */
import js from "@eslint/js";
import tseslint from "typescript-eslint";

/** The folders of scripts/, highest first: a folder imports from its own layer and from those below. */
const layers = [
  ["commands"],
  ["report"],
  ["rehearsal"],
  ["gate", "release", "repair", "incident", "drill", "replica", "status"],
  ["verification", "migrations", "environment", "retention", "posture", "replication", "monitoring"],
  ["backup", "restore"],
  ["record", "control"],
  ["fingerprint", "scratch"],
  ["database", "store", "platforms"],
  ["process"],
  ["contract"],
];

const allFolders = layers.flat();

/** What drives the program from outside: the program imports none of it. */
const drivers = ["tests", "campaign", "bench"];

/** For each layer: nothing above it may be imported. */
const directions = layers.map((layer, index) => ({
  files: layer.map((folder) => `scripts/${folder}/**/*.{ts,js}`),
  rules: forbidImports(
    ["components", ...drivers, ...layers.slice(0, index).flat()],
    "imports point down the layers of eslint.config.mjs",
  ),
}));

/** @param {string[]} folders @param {string} message */
function forbidImports(folders, message) {
  const regex = `^(\\.\\.?/)+(scripts/)?(${folders.join("|")})/`;
  return { "no-restricted-imports": ["error", { patterns: [{ regex, message }] }] };
}

export default tseslint.config(
  { ignores: ["node_modules/", "coverage/"] },
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": ["error", { allowForKnownSafeCalls: ["it", "describe", "test"] }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/consistent-type-imports": [
        "error",
        { fixStyle: "inline-type-imports", disallowTypeAnnotations: false },
      ],
      // An interface may demand a promise of an implementation that has nothing to wait for.
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      eqeqeq: "error",
    },
  },
  {
    // Tests read JSON of servers and children as it comes.
    files: ["tests/**/*.ts"],
    rules: Object.fromEntries(
      [
        "no-explicit-any",
        "no-unsafe-assignment",
        "no-unsafe-argument",
        "no-unsafe-call",
        "no-unsafe-member-access",
        "no-unsafe-return",
        "unbound-method",
      ].map((rule) => [`@typescript-eslint/${rule}`, "off"]),
    ),
  },
  ...directions,
  {
    files: ["components/**/*.ts"],
    rules: forbidImports(
      [...drivers, ...allFolders.filter((folder) => folder !== "contract")],
      "components know scripts/ only by command names, types and settings",
    ),
  },
  {
    files: ["campaign/**/*.{ts,js}"],
    rules: forbidImports(
      [
        "commands",
        "gate",
        "release",
        "repair",
        "incident",
        "verification",
        "backup(?!/manifest)",
        "restore",
        "fingerprint",
      ],
      "the campaign judges these from outside: it runs their commands, and reads what they wrote",
    ),
  },
  {
    files: ["**/*.js"],
    languageOptions: {
      sourceType: "commonjs",
      globals: Object.fromEntries(
        [
          "require",
          "module",
          "process",
          "console",
          "Buffer",
          "URL",
          "fetch",
          "setTimeout",
          "setInterval",
          "clearInterval",
          "__dirname",
          "__filename",
        ].map((name) => [name, "readonly"]),
      ),
    },
  },
);
