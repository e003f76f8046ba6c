/** What an HTML report shows, whatever it reports on: a rehearsal, a receipt, a drill. Plain data; the template adds the looks. */

/** How a thing is coloured; its words always say the same, so that nobody has to see the colour. */
export type Tone = "good" | "bad" | "neutral";

export interface Fact {
  readonly name: string;
  readonly value: string;
}

export interface TimelineEntry {
  readonly label: string;
  /** Seconds since the report's start. */
  readonly from: number;
  /** 0: a moment. */
  readonly seconds: number;
  readonly tone: Tone;
  /** Part of the entry above it: drawn smaller. Default false. */
  readonly within?: boolean;
}

/** One thing that was looked at: what it was and what was found. `tone` "bad" where the two disagree. */
export interface Evidence {
  readonly claim: string;
  readonly found: string;
  readonly tone: Tone;
}

export interface Step {
  /** Stands before its name. */
  readonly number: number;
  readonly name: string;
  /** What it does, in a sentence. */
  readonly summary: string;
  readonly tone: Tone;
  /** The outcome in a word or two: "as expected". */
  readonly word: string;
  readonly seconds: number;
  readonly expected?: string;
  readonly actual?: string;
  readonly evidence: readonly Evidence[];
  /** Lines that were printed meanwhile, or that say more; folded away. */
  readonly log?: readonly string[];
}

/** Values over time as one line, beside what is usual. */
export interface Chart {
  readonly caption: string;
  /** Of the values: "ms". */
  readonly unit: string;
  /** What is usual, as a line across; null: not known. */
  readonly usual: number | null;
  /** In order of time; `value` null: there is none, and the line breaks. `bad`: something failed here, and is marked. */
  readonly points: readonly { readonly second: number; readonly value: number | null; readonly bad: boolean }[];
}

export interface Cell {
  readonly text: string;
  readonly tone: Tone;
  /** Makes it a link. */
  readonly href?: string;
}

export interface Table {
  readonly caption: string;
  readonly columns: readonly { readonly name: string; readonly numeric?: boolean }[];
  /** Plain text, or a cell that stands out. */
  readonly rows: readonly (readonly (string | Cell)[])[];
}

export interface ReportDocument {
  readonly title: string;
  /** UTC, ISO 8601. */
  readonly startedAt: string;
  readonly seconds: number;
  readonly verdict: { readonly tone: Tone; readonly word: string; readonly sentence: string };
  readonly facts: readonly Fact[];
  readonly timeline: readonly TimelineEntry[];
  readonly steps: readonly Step[];
  /** Default: none. */
  readonly charts?: readonly Chart[];
  readonly tables: readonly Table[];
}
