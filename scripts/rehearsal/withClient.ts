/** One connection for one piece of the rehearsal's own work: it looks at the database directly, past the program it rehearses. */
import { Client } from "pg";

export async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, application_name: "rehearsal" });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
