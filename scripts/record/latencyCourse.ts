/** How long a health path took to answer while a release was watched, point by point: what a report draws. */
import { z } from "zod";

const coursePointSchema = z.object({
  /** Since the watch began. */
  second: z.number(),
  /** The slowest answer of this stretch; null: none came. */
  milliseconds: z.number().nullable(),
  /** Requests of this stretch that failed. */
  failures: z.int(),
});

export type CoursePoint = z.infer<typeof coursePointSchema>;

export const latencyCourseSchema = z.object({
  /** Without user name and password. */
  url: z.string(),
  /** The median before the release; null: it was not measured. */
  usualMilliseconds: z.number().nullable(),
  points: z.array(coursePointSchema),
});

export type LatencyCourse = z.infer<typeof latencyCourseSchema>;
