/** Gate step: no release while a freeze stands. */
import { readFreeze } from "../../control/freeze";
import { Refusal } from "../../contract/failure";
import type { GateStep } from "../context";
import { withoutStore } from "./withoutStore";

export const freezeStep: GateStep = {
  name: "freeze",
  async run({ store }) {
    if (store === undefined) return withoutStore;
    const freeze = await readFreeze(store);
    if (freeze?.state !== "active") return { summary: "no freeze" };
    throw new Refusal(`releases are frozen since ${freeze.at}: ${freeze.reason}`, {
      hint: 'repair what is missing, then: npm run deploy:unfreeze -- --person "<you>" --reason "<why>"',
      details: [
        `kind: ${freeze.kind}`,
        ...(freeze.runId === null ? [] : [`receipt: ${freeze.runId}`]),
        ...Object.entries(freeze.missingRows).map(([table, rows]) => `${table}: ${rows} row(s) missing`),
      ],
    });
  },
};
