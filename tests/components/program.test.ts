/** The program under the stand-in engine. */
import { InProcessEngine } from "../../scripts/rehearsal/engine/inProcess";
import { programScenes } from "./programScenes";

describe("program under the in-process engine", function () {
  this.timeout(120_000);
  let engine: InProcessEngine;
  before(() => (engine = new InProcessEngine()));
  after(() => engine.close());
  programScenes(() => engine);
});
