/** The scene of a loss that no reading of the migration tells: the gate sees it when it tries the migration on the copy. */
import { endingOf } from "./ending";
import { whyHalted } from "./sceneEvidence";
import type { Scene } from "./scenes";
import { withClient } from "./withClient";

export const hiddenDelete: Scene = {
  name: "A loss that only the trial sees",
  does: "A migration only adds rows; a trigger that somebody made by hand in the database then deletes older messages of these clients.",
  expected: "gate halts: trial",
  async act(stage) {
    const doomed = await withClient(stage.world.database.url, async (client) => {
      await client.query(retentionTrigger);
      const { rows } = await client.query<{ count: string }>(
        `SELECT count(*) FROM chat_messages WHERE client_id <= ${greetedClients} AND sent_at < '2025-01-01'`,
      );
      return rows[0]?.count;
    });
    const before = await stage.before();
    const withdraw = stage.world.addMigration(
      "20260304090000_greet_clients.sql",
      `INSERT INTO public.chat_messages (client_id, body)
SELECT id, 'Your new inbox is ready.' FROM public.clients WHERE id <= ${greetedClients};
`,
    );
    const result = await stage.up({ version: "1.7.1" }).finally(withdraw);
    const judged = /^migrations: pass .*/m.exec(stage.printed())?.[0];
    const evidence = [
      {
        claim: "what the gate found by reading the migration",
        found: judged ?? "not said",
        holds: judged?.includes("1 pending") === true,
      },
      whyHalted(result, `public.chat_messages: ${doomed} of`),
      ...(await stage.nothingReleasedSince(before)),
    ];
    await withClient(stage.world.database.url, (client) => client.query("DROP FUNCTION keep_recent_messages CASCADE"));
    return { actual: endingOf(result), evidence };
  },
};

/** Clients that get a message by the migration. */
const greetedClients = 20;

/** What it deletes depends on the rows there are: no reading of the migration tells. */
const retentionTrigger = `
  CREATE FUNCTION keep_recent_messages() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      DELETE FROM chat_messages WHERE client_id = NEW.client_id AND sent_at < '2025-01-01';
      RETURN NEW;
    END $$;
  CREATE TRIGGER keep_recent_messages AFTER INSERT ON chat_messages
    FOR EACH ROW EXECUTE FUNCTION keep_recent_messages()`;
