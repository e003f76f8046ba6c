/** The database's clock: what backups are named by, so what their ages are told by. */
import type { Client } from "pg";
import { Refusal } from "../contract/failure";

/**
 * Seconds by which the clock of a host that releases may differ from the database's: what a lease, which is renewed after
 * a third of its 90 seconds, allows for between two hosts.
 */
export const clockTolerance = 60;

export async function readClock(client: Client): Promise<Date> {
  const { rows } = await client.query<{ milliseconds: number }>(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS milliseconds",
  );
  return new Date(rows[0]!.milliseconds);
}

/**
 * Leases, freezes and approvals end by the clock of whoever reads them: a run whose clock is behind has a lease that is
 * over for all others, one whose clock is ahead takes theirs. However long the answer takes, that is no difference.
 *
 * @throws Refusal when this machine's clock and that of the database's server differ by more than `clockTolerance`.
 */
export async function demandSameClock(client: Client): Promise<void> {
  const [before, there, after] = [Date.now(), await readClock(client), Date.now()];
  const seconds = Math.max(before - there.getTime(), there.getTime() - after) / 1000;
  if (seconds <= clockTolerance) return;
  throw new Refusal(
    `this machine's clock says ${new Date(after).toISOString()}, that of the database's server ${there.toISOString()}`,
    { hint: `set the one that is wrong (NTP): at most ${clockTolerance} s of difference are safe` },
  );
}
