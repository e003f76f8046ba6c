/** The tables of commands and options, from what the command line's own modules declare to commander. */
import { type Argument, Command, type Option } from "commander";
import { commandEntries } from "../../scripts/commandList";
import { anchorOf, code, markdownTable } from "./markdown";

/** The commands as the command line makes them, each with its options and arguments. */
export function declaredCommands(): Map<string, Command> {
  return new Map(
    commandEntries.map(({ name, description, module }) => {
      const command = new Command(name).description(description);
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      (require(`../../scripts/commands/${module}.ts`) as { configure(command: Command): void }).configure(command);
      return [name, command];
    }),
  );
}

/** Every command with what it is for, linked to its section. */
export function commandOverview(commands: ReadonlyMap<string, Command>): string {
  return markdownTable(
    ["command", "what it is for"],
    [...commands].map(([name, command]) => [`[${code(name)}](#${anchorOf(name)})`, command.description()]),
  );
}

/** Arguments, then options: default and meaning. Empty for a command without either. */
export function optionTable(command: Command): string {
  return markdownTable(
    ["option", "default", "meaning"],
    [...command.registeredArguments.map(argumentRow), ...command.options.map(optionRow)],
  );
}

function argumentRow(argument: Argument): string[] {
  const [meaning, otherwise] = meaningAndDefault(argument.description);
  const given = argument.defaultValue === undefined ? otherwise : code(String(argument.defaultValue));
  const form = `<${argument.name()}${argument.variadic ? "..." : ""}>`;
  return [code(form), argument.required ? "required" : given, withChoices(argument.argChoices, meaning)];
}

function optionRow(option: Option): string[] {
  const [meaning, otherwise] = meaningAndDefault(option.description);
  return [
    code(option.flags.replace(/^-\w, /, "")),
    option.mandatory ? "required" : (defaultValue(option) ?? otherwise),
    withChoices(option.argChoices, meaning),
  ];
}

/** What commander itself fills in. A duration is parsed to seconds before it is the default. */
function defaultValue({ flags, defaultValue, negate }: Option): string | undefined {
  if (defaultValue === undefined || negate) return undefined;
  if (!flags.endsWith("<duration>")) return code(String(defaultValue));
  const seconds = Number(defaultValue);
  return code(seconds > 0 && seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`);
}

/** Descriptions end with `; default: …` where the default is no value but a rule. */
function meaningAndDefault(description: string): [meaning: string, otherwise: string] {
  const [meaning = "", otherwise = ""] = description.split(/; default: |^default: /);
  return [marked(meaning), marked(otherwise)];
}

function withChoices(choices: readonly string[] | undefined, meaning: string): string {
  if (choices === undefined) return meaning;
  return `${choices.map(code).join(", ")}: ${meaning}`;
}

const names = new Set(commandEntries.map(({ name }) => name));

/** What counts as a name in a help text: options, placeholders, variables, settings, commands, durations, files. */
const nameInText = new RegExp(
  [
    /--[a-z][a-z-]*/,
    /[\w/-]*<[^<>]+>[\w.<>-]*/,
    /\b[A-Z]+_[A-Z_]+\b/,
    /\b[a-z]+\.[a-z]+:[a-z]+,[a-z]+\b/,
    /\b[a-z]+[.:][a-z]+(?:[A-Z:-]?[a-z]+)*\b/,
    /\b\d+[smh]\b/,
    /\b[a-z]+\/[a-z]+\b/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "g",
);

/** Help texts have no markup: what is a name in them is set as code, and a command's name leads to its section. */
function marked(text: string): string {
  return text
    .replace(nameInText, (name) => (names.has(name) ? `[${code(name)}](#${anchorOf(name)})` : code(name)))
    .replace(/\bsettings as JSON\b/, "[settings](settings.md) as JSON");
}
