/** An assessment in the timeline of open incidents: impact by table, since when, what was recommended, what nobody looked at. */
import { messageOf } from "../contract/failure";
import { listIncidents, recordIncident } from "../record/incident";
import type { Store } from "../store/store";
import type { Assessment } from "./assessment";

/** Where no incident is open, nothing is written. Never throws: an assessment is worth having without a record of it. */
export async function recordAssessment(
  store: Store,
  assessment: Assessment,
  onProgress: (line: string) => void,
): Promise<void> {
  try {
    for (const id of await listIncidents(store, "open"))
      await recordIncident(store, id, {
        ...{ event: "assessed", person: null, notVerified: assessment.notVerified },
        began: beganOf(assessment),
        impact: assessment.tables.map(({ table, rowsBefore, rowsNow, missing, changed, damaged, exact, why }) => {
          return { table, rowsBefore, rowsNow, missing, changed, damaged, exact, why };
        }),
        text: `${assessment.recommendation.rung ?? "no way back is taken"}: ${assessment.recommendation.reason}`,
      });
  } catch (error) {
    onProgress(`warning: the assessment is not in the incident's timeline: ${messageOf(error)}`);
  }
}

/** The earliest that any of it can have begun, and the latest at which some of it was there. */
function beganOf({ tables, lastGood, verdict, at }: Assessment) {
  if (verdict !== "damaged") return { notBefore: null, notAfter: null };
  const before = tables.flatMap(({ since }) => since.notBefore ?? []).sort();
  const after = tables.flatMap(({ since }) => since.notAfter ?? []).sort();
  return { notBefore: before[0] ?? lastGood?.takenAt ?? null, notAfter: after[0] ?? at };
}
