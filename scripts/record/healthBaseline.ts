/** How the application answered before a release, path by path: what a watch of the release holds against it. */
import { z } from "zod";

export const endpointBaselineSchema = z.object({
  /** Without user name and password. */
  url: z.string(),
  requests: z.int().min(1),
  failures: z.int().min(0),
  /** Of the requests that succeeded, a new connection included; null: none did. */
  medianMilliseconds: z.number().nullable(),
  p95Milliseconds: z.number().nullable(),
});

export type EndpointBaseline = z.infer<typeof endpointBaselineSchema>;
