/** The schedules of docs/schedules.md call commands and options that exist, all the same two, at the same time. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { scheduledDump } from "../../components/commands";

const root = path.resolve(__dirname, "../..");
const page = readFileSync(path.join(root, "docs/schedules.md"), "utf8");
const reference = readFileSync(path.join(root, "docs/reference.md"), "utf8");

const commandPattern = /dbprotect ((?:db|env|deploy|platform|test):[\w:-]+)((?: --?[\w-]+(?: [a-z]\w*)?)*)/g;

/** `db:backup --tier scheduled`. */
function commandsIn(text: string): string[] {
  return [...text.matchAll(commandPattern)].map(([, command = "", options = ""]) => `${command}${options}`);
}

const blocks = [...page.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, language = "", text = ""]) => ({
  language,
  text,
}));

describe("docs/schedules.md", () => {
  it("names commands and options that the reference has; the reference is held to the program", () => {
    const found = commandsIn(page);
    assert.ok(found.length > 10);
    for (const line of found) {
      const [command = "", ...words] = line.split(" ");
      const [, section = ""] = reference.split(`### \`${command}\`\n`);
      assert.notEqual(section, "", `no command ${command}`);
      const [own = ""] = section.split("\n### ");
      for (const option of words.filter((word) => word.startsWith("--")))
        assert.match(own, new RegExp(`\\| \`${option}[ \`]`), `${command} has no ${option}`);
    }
  });

  it("has every scheduler run what the stack's own schedule runs, at the strategy's time", () => {
    const wanted = commandsIn(scheduledDump("dbprotect"));
    assert.deepEqual(wanted, ["db:backup --tier scheduled", "db:prune --yes"]);
    const running = blocks.filter(({ text }) => /db:backup/.test(text));
    assert.deepEqual(
      running.map(({ language }) => language),
      ["sh", "sh", "cron", "ini", "yaml", "json"],
    );
    for (const { language, text } of running) assert.deepEqual(commandsIn(text), wanted, language);
    for (const { text } of blocks.filter(({ text: block }) => /cron: |cronSchedule|^0 2|OnCalendar/m.test(block)))
      assert.match(text, /"0 2 \* \* \*"|^0 2 \* \* \*|\*-\*-\* 02:00:00 UTC/m);
  });

  it("has JSON that can be read", () => {
    for (const { text } of blocks.filter(({ language }) => language === "json")) JSON.parse(text);
  });
});
