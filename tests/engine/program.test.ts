/** The same scenes under the real Pulumi CLI, wherever there is one. */
import { chooseEngine } from "../../scripts/rehearsal/engine";
import { automationEngine } from "../../scripts/rehearsal/engine/automation";
import { programScenes } from "../components/programScenes";
import { skip } from "../skip";

describe("program under the Pulumi CLI", function () {
  this.timeout(300_000);
  before(async function () {
    const { engine, reason } = await chooseEngine();
    if (engine.name !== "automation") skip(this, reason);
  });
  programScenes(() => automationEngine);
});
