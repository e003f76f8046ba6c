/**
 * Loaded before a program (`node --require`) that must not outlive its parent, however that ends: the parent holds the
 * other end of our stdin, and nothing is ever written to it. Plain JavaScript, as no TypeScript loader is there.
 */
"use strict";

process.stdin.on("error", () => process.exit());
process.stdin.on("close", () => process.exit());
process.stdin.resume();
