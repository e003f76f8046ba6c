/** Which scenes `--scenes` plays: their numbers stay the same, and a mistake is told before any server starts. */
import assert from "node:assert/strict";
import { UsageError } from "../../../scripts/contract/failure";
import { chooseScenes } from "../../../scripts/rehearsal/chooseScenes";
import { scenes } from "../../../scripts/rehearsal/scenes";

const numbers = (choice: string): number[] => chooseScenes(choice).map(({ number }) => number);

describe("the choice of scenes", () => {
  it("is the quick ones by default", () => {
    assert.deepEqual(
      chooseScenes("default").map(({ name }) => name),
      scenes.map(({ name }) => name),
    );
  });

  it("all: the slow ones as well, after them", () => {
    assert.deepEqual(numbers("all").slice(0, scenes.length), numbers("default"));
    assert.deepEqual(
      chooseScenes("all")
        .slice(scenes.length)
        .map(({ name }) => name),
      [
        "A release that does not answer",
        "Two tables are emptied by hand",
        "A loss that only the trial sees",
        "A location is lost",
        "The database moves to its live replica",
      ],
    );
  });

  it("numbers: in their order, with the release that they begin with", () => {
    assert.deepEqual(numbers("4,2"), [1, 2, 4]);
    assert.deepEqual(numbers("1 3"), [1, 3]);
    assert.deepEqual(numbers(String(numbers("all").at(-1))), [1, numbers("all").length]);
  });

  for (const choice of ["", ",", "0", "99", "2,x", "ALL", "1.5", "-1"]) {
    it(`${JSON.stringify(choice)} is a mistake that says what is possible`, () => {
      assert.throws(
        () => chooseScenes(choice),
        (error) => error instanceof UsageError && /^--scenes: found ".*": expected default, all/.test(error.message),
      );
    });
  }
});
