/** What a step says that needs the store while its address is not known yet: the very first preview. */
import type { StepResult } from "../context";

export const withoutStore: StepResult = {
  summary: "skipped: the store's address is not known before the first `pulumi up` has made the bucket",
  skipped: true,
};
