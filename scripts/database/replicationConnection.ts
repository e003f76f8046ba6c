/** Whether a server talks replication at an address: a pooler does not, nor may every role. */
import { Client, type ClientConfig } from "pg";
import { messageOf } from "../contract/failure";
import { type DatabaseTarget, clientConfig, encryptionAttempts } from "./target";

/**
 * Asks as a subscriber would, over the replication protocol (PostgreSQL manual, "53.4 Streaming Replication Protocol").
 *
 * @returns the server's system identifier.
 * @throws the server's or the network's own error.
 */
export async function identifySystem(target: DatabaseTarget): Promise<string> {
  let refusal: unknown;
  for (const encrypted of encryptionAttempts(target)) {
    const config: ClientConfig & { replication: string } = {
      ...clientConfig(target, encrypted),
      replication: "database",
    };
    const client = new Client(config);
    client.on("error", () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query<{ systemid: string }>("IDENTIFY_SYSTEM");
      return rows[0]!.systemid;
    } catch (error) {
      refusal = error;
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  throw refusal instanceof Error ? refusal : new Error(messageOf(refusal));
}
