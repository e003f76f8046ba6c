/** RPO and RTO as the last drills measured them: what `db:drill --last --json` prints, as figures with their time. */
import { z } from "zod";

/** A figure that a drill measured, and when; all null: none has measured it yet. */
export interface MeasuredFigure {
  readonly seconds: number | null;
  /** UTC, ISO 8601. */
  readonly at: string | null;
  /** Address of the location. */
  readonly location: string | null;
}

export const notMeasured: MeasuredFigure = { seconds: null, at: null, location: null };

/** What `db:drill --last --json` prints. */
const lastDrillsSchema = z.object({
  locations: z.array(
    z.object({
      store: z.string(),
      at: z.string(),
      rpoSeconds: z.number().nullable(),
      rtoSeconds: z.number().nullable(),
    }),
  ),
});

/**
 * @param text what the command printed.
 * @returns of each figure that of the location where it is worst: nobody chooses which location is lost.
 * @throws ZodError, or SyntaxError, for anything else.
 */
export function measuredFigures(text: string): { readonly rpo: MeasuredFigure; readonly rto: MeasuredFigure } {
  const { locations } = lastDrillsSchema.parse(JSON.parse(text));
  return { rpo: worst(locations, "rpoSeconds"), rto: worst(locations, "rtoSeconds") };
}

function worst(
  locations: z.infer<typeof lastDrillsSchema>["locations"],
  figure: "rpoSeconds" | "rtoSeconds",
): MeasuredFigure {
  return locations.reduce<MeasuredFigure>((found, { store, at, ...figures }) => {
    const seconds = figures[figure];
    return seconds === null || seconds <= (found.seconds ?? -1) ? found : { seconds, at, location: store };
  }, notMeasured);
}
