/**
 * What else is known of a release, each note written once below `notes/`: what answered, who was told, what a person
 * confirmed. A note neither opens nor closes a receipt; that is what release events do.
 */
import { z } from "zod";
import { redact } from "../contract/redaction";
import { encodeDocument, readDocument } from "../store/documents";
import { noteKey, notesPrefix } from "../store/layout";
import { AlreadyExists, type Store } from "../store/store";
import { type LatencyCourse, latencyCourseSchema } from "./latencyCourse";

/**
 * `endpoints`: the health checks after the release; `watched`: how it went while it was watched; `workflows`: the integration tests; `notified`:
 * the team was told; `pruned`: retention was carried out after it; `ticked`: a person confirmed an item of a checklist; `succeeded`: every criterion of success was met.
 */
const noteKinds = ["endpoints", "watched", "workflows", "notified", "pruned", "ticked", "succeeded"] as const;
export type NoteKind = (typeof noteKinds)[number];

const releaseNoteSchema = z.object({
  schemaVersion: z.literal(1),
  kind: z.enum(noteKinds),
  runId: z.string(),
  /** Whether it went well. */
  ok: z.boolean(),
  /** Of `ticked`: `<list>/<item>`; of `notified`: what of; of `watched`: null for all of it, `health`, `logs`. */
  item: z.string().nullable(),
  person: z.string().nullable(),
  detail: z.string(),
  /** Of `watched`, `health`: how each path answered meanwhile. */
  latency: z.array(latencyCourseSchema).default([]),
  at: z.iso.datetime(),
});

export type ReleaseNote = z.infer<typeof releaseNoteSchema>;

export interface NewNote {
  readonly kind: NoteKind;
  readonly ok: boolean;
  readonly detail: string;
  readonly item?: string;
  readonly person?: string;
  readonly latency?: readonly LatencyCourse[];
}

/** Appends a note under the next free number. */
export async function recordNote(store: Store, runId: string, note: NewNote): Promise<ReleaseNote> {
  const document: ReleaseNote = {
    ...{ schemaVersion: 1, kind: note.kind, runId, ok: note.ok },
    ...{ item: note.item ?? null, person: note.person ?? null },
    // What tests and servers say can hold a secret, and a note is never rewritten.
    detail: redact(note.detail),
    latency: [...(note.latency ?? [])],
    at: new Date().toISOString(),
  };
  const body = encodeDocument(document);
  for (let sequence = (await noteKeys(store, runId)).length + 1; ; sequence++) {
    try {
      await store.create(noteKey(runId, sequence, note.kind), body);
      return document;
    } catch (error) {
      // The same kind under the same number: somebody else's, the next one is ours.
      if (!(error instanceof AlreadyExists)) throw error;
    }
  }
}

/** All notes of a run, oldest first. */
export async function readNotes(store: Store, runId: string): Promise<ReleaseNote[]> {
  const keys = await noteKeys(store, runId);
  const notes = await Promise.all(keys.map((key) => readDocument(store, key, releaseNoteSchema)));
  return notes.filter((note) => note !== undefined);
}

async function noteKeys(store: Store, runId: string): Promise<string[]> {
  return (await store.list(`${notesPrefix}${runId}/`)).map(({ key }) => key);
}
