/** Schedules that EventBridge Scheduler takes, and for each of their rules one that breaks it. */
import assert from "node:assert/strict";
import { isScheduleExpression } from "../../components/scheduleExpression";

const taken = [
  ...["rate(1 day)", "rate(5 minutes)", "rate(12 hours)", "cron(0 2 * * ? *)", "cron(15 10 ? * 6L 2026-2030)"],
  ...["cron(0 8 1 * ? *)", "cron(0/15 * ? * MON-FRI *)", "cron(0,30 2 L JAN,JUL ? *)", "cron(0 0 3W 1/3 ? *)"],
  ...["cron(0 2 ? * TUE#1 *)", "cron(0 2 ? * 2#5 *)", "cron(*/5 0-6/2 ? 2-4 SUN 2199)"],
];

const refused: Record<string, string> = {
  "no form at all": "0 2 * * *",
  "five fields": "cron(0 2 * * ?)",
  "seven fields": "cron(0 0 2 * * ? *)",
  "two question marks": "cron(0 2 ? * ? *)",
  "no question mark": "cron(0 2 * * * *)",
  "a question mark elsewhere": "cron(? 2 * * ? *)",
  "minute 60": "cron(60 2 * * ? *)",
  "hour 24": "cron(0 24 * * ? *)",
  "day 0": "cron(0 2 0 * ? *)",
  "day 32": "cron(0 2 32 * ? *)",
  "the weekday next to day 32": "cron(0 2 32W * ? *)",
  "month 13": "cron(0 2 1 13 ? *)",
  "a month of no name": "cron(0 2 1 JAM ? *)",
  "weekday 0, for Sunday is 1": "cron(0 2 ? * 0 *)",
  "the sixth Monday": "cron(0 2 ? * 2#6 *)",
  "year 1969": "cron(0 2 * * ? 1969)",
  "a range that runs backwards": "cron(0 2 ? * FRI-MON *)",
  "a step of nothing": "cron(0/0 2 * * ? *)",
  "a list with a hole": "cron(0,,30 2 * * ? *)",
  "a rate of nothing": "rate(0 days)",
  "a rate in weeks": "rate(1 week)",
  "a half rate": "rate(1.5 days)",
  "a single time": "at(2026-01-01T02:00:00)",
  "spaces around": " cron(0 2 * * ? *)",
};

describe("components/scheduleExpression", () => {
  it("takes what EventBridge Scheduler takes", () => {
    for (const text of taken) assert.ok(isScheduleExpression(text), text);
  });

  for (const [what, text] of Object.entries(refused))
    it(`refuses ${what}`, () => assert.equal(isScheduleExpression(text), false, text));
});
