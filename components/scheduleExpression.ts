/**
 * The schedules that EventBridge Scheduler takes, checked before anything is created: AWS refuses a wrong one only after
 * everything that the schedule starts exists. https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
 */

export const scheduleExpressionForm =
  "cron(minutes hours day-of-month month day-of-week year) with one ?, or rate(1 day)";

const months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const weekdays = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

interface Field {
  readonly least: number;
  readonly most: number;
  /** Names of the numbers from `least` on. */
  readonly names?: readonly string[];
  /** What else it may be, on its own. */
  readonly special?: RegExp;
}

const fields: readonly Field[] = [
  { least: 0, most: 59 },
  { least: 0, most: 23 },
  { least: 1, most: 31, special: /^(\?|L|([1-9]|[12]\d|3[01])W)$/ },
  { least: 1, most: 12, names: months },
  { least: 1, most: 7, names: weekdays, special: /^(\?|[1-7]?L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)#[1-5])$/ },
  { least: 1970, most: 2199 },
];

/** Whether it is one that repeats: `at(…)`, which happens once, is none. */
export function isScheduleExpression(text: string): boolean {
  if (/^rate\([1-9]\d* (minute|hour|day)s?\)$/.test(text)) return true;
  const given = /^cron\((.+)\)$/.exec(text)?.[1]?.split(" ") ?? [];
  if (given.length !== fields.length || !fields.every((field, place) => fits(given[place] ?? "", field))) return false;
  // Either the day of the month or the day of the week counts; the other one has to say so.
  return (given[2] === "?") !== (given[4] === "?");
}

function fits(text: string, field: Field): boolean {
  if (field.special?.test(text) === true) return true;
  return text.split(",").every((part) => fitsPart(part, field));
}

/** `*`, `5`, `1-5`, each with `/2` after it. */
function fitsPart(part: string, { least, most, names = [] }: Field): boolean {
  const [whole, first = "", last, step] = /^(\*|[A-Z]{3}|\d+)(?:-([A-Z]{3}|\d+))?(?:\/(\d+))?$/.exec(part) ?? [];
  const number = (text: string): number => (names.includes(text) ? names.indexOf(text) + least : Number(text));
  const within = (text: string): boolean => number(text) >= least && number(text) <= most;
  if (whole === undefined) return false;
  if (step !== undefined && (Number(step) < 1 || Number(step) > most)) return false;
  if (first === "*") return last === undefined;
  return within(first) && (last === undefined || (within(last) && number(first) <= number(last)));
}
