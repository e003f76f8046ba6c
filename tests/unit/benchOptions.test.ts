/** What is wrong with a number, a list or a pattern on the command line says what was found and what is expected. */
import assert from "node:assert/strict";
import { InvalidArgumentError } from "commander";
import { regularExpression, wholeNumbers } from "../../bench/options";
import { positiveNumber, wholeNumber } from "../../scripts/commandLine";

describe("numbers and patterns on the command line", () => {
  const refused = (parse: (text: string) => unknown, texts: readonly string[], expected: string): void => {
    for (const text of texts)
      assert.throws(
        () => parse(text),
        (error: Error) => error instanceof InvalidArgumentError && error.message === `found ${text}: ${expected}`,
        text,
      );
  };

  it("whole numbers lie within their bounds", () => {
    assert.deepEqual(["1", "64"].map(wholeNumber(1, 64)), [1, 64]);
    refused(wholeNumber(1, 64), ["", "0", "65", "1.5", "1e1", "0x10", " 2", "x"], "expected a number from 1 to 64");
  });

  it("positive ones may be fractions", () => {
    assert.deepEqual(["0.5", "10"].map(positiveNumber(10)), [0.5, 10]);
    refused(positiveNumber(10), ["", " ", "0", "-1", "10.5", "NaN"], "expected a number above 0, at most 10");
  });

  it("a list has commas between, and may be empty", () => {
    assert.deepEqual(wholeNumbers("100,500"), [100, 500]);
    assert.deepEqual(wholeNumbers(""), []);
    assert.throws(
      () => wholeNumbers("100,,500"),
      /^InvalidArgumentError: found : expected a number from 1 to 1000000$|found : expected/,
    );
  });

  it("a pattern is a regular expression", () => {
    assert.ok(regularExpression("^db:").test("db:backup"));
    refused(regularExpression, ["("], "expected a regular expression");
  });
});
