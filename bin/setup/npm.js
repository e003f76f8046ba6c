/** Calls npm under a chosen Node.js. Plain JavaScript. */
"use strict";

const { basename, delimiter, dirname } = require("node:path");
const { run } = require("./run.js");

/**
 * @param {string} node absolute path of the Node.js that runs npm
 * @param {readonly string[]} args
 * @param {string} folder npm's working folder
 */
function npm(node, args, folder) {
  const cli = process.env["npm_execpath"] ?? "";
  // What an npm that started us told its scripts must not configure this one.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^npm_(config_local_prefix|package_|lifecycle_|command)/.test(name),
  );
  const env = { ...Object.fromEntries(inherited), PATH: [dirname(node), process.env["PATH"]].join(delimiter) };
  const quiet = [...args, "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  return basename(cli) === "npm-cli.js"
    ? run(node, [cli, ...quiet], { cwd: folder, env })
    : run("npm", quiet, { cwd: folder, env });
}

module.exports = { npm };
