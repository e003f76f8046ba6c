/** The process of the CRM's API: it takes deployments from the rehearsal over the IPC channel and ends when that closes. */
import { z } from "zod";
import { messageOf } from "../../contract/failure";
import { startCrmApi } from "./api";

const instructionSchema = z.strictObject({
  id: z.int(),
  deploy: z.enum(["api", "frontend"]),
  version: z.string(),
});

export type Instruction = z.infer<typeof instructionSchema>;

export type Notice =
  | { readonly kind: "listening"; readonly url: string }
  | { readonly kind: "done"; readonly id: number; readonly error?: string };

async function main(): Promise<void> {
  const { CRM_DATABASE_URL, CRM_VERSION } = process.env;
  if (process.send === undefined || CRM_DATABASE_URL === undefined || CRM_VERSION === undefined) {
    throw new Error("the CRM's API is started by the rehearsal");
  }
  const tell = (notice: Notice): void => void process.send?.(notice);
  // The channel closes when the parent ends, however it ended.
  process.on("disconnect", () => process.exit());
  const api = await startCrmApi(CRM_DATABASE_URL, CRM_VERSION);
  process.on("message", (message) => {
    const { id, deploy, version } = instructionSchema.parse(message);
    Promise.resolve(deploy === "api" ? api.deploy(version) : api.deployFrontend(version)).then(
      () => tell({ kind: "done", id }),
      (error: unknown) => tell({ kind: "done", id, error: messageOf(error) }),
    );
  });
  tell({ kind: "listening", url: api.url });
}

if (require.main === module) void main();
