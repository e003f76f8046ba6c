/** How many jobs run: cores, the server's free connections, and the wish of whoever asks. */
import assert from "node:assert/strict";
import { chooseJobs } from "../../../scripts/database/jobs";

const sessions = { each: 2, once: 1 };

describe("the number of jobs", () => {
  it("is that of the cores, and never more than 8 unless asked for", () => {
    assert.equal(chooseJobs(undefined, 97, sessions, 2), 2);
    assert.equal(chooseJobs(undefined, 97, sessions, 64), 8);
    assert.equal(chooseJobs(12, 97, sessions, 2), 12);
  });

  it("is what the server has connections for", () => {
    assert.equal(chooseJobs(undefined, 8, sessions, 8), 3);
    assert.equal(chooseJobs(12, 8, sessions, 8), 3);
    assert.equal(chooseJobs(undefined, 0, sessions, 8), 1);
  });
});
