/** What rolling back one platform is given, and what it says. */
import type { SideResult } from "../record/rollbackEvents";

export interface SideContext {
  /** Seconds that it may take. */
  readonly seconds: number;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

export interface SideOutcome extends Pick<SideResult, "from" | "live" | "message"> {
  readonly outcome: "rolled back" | "already";
}
