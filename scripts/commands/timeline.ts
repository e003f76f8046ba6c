/** Where the command line keeps what is run: in the timeline of open incidents, if the environment names a store. */
import { redact } from "../contract/redaction";
import { type TimelineEntry, beginInTimeline } from "../record/commandTimeline";
import { messageOf } from "../contract/failure";
import { progress } from "./session";
import { storeFromEnvironment } from "./store";

/** Undefined: there is no store to keep it in. What is wrong with one, the command itself says. */
export async function beginInTimelines(words: readonly string[]): Promise<TimelineEntry | undefined> {
  if ((process.env["BACKUP_STORE"] ?? "") === "") return undefined;
  try {
    return await beginInTimeline(
      storeFromEnvironment(() => undefined),
      redact(words.map(quoted).join(" ")),
      progress,
    );
  } catch (error) {
    progress(`warning: nothing is written into an incident's timeline: ${messageOf(error)}`);
    return undefined;
  }
}

/** As a shell would take it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
