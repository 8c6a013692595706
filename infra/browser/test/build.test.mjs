// The minified build: its size, its exports and its behaviour. And what is in the package.
//
// `DAYPASS_TEST_BUILD_TOOLS` is a folder with build.mjs and esbuild. Without it, both are expected in the package (`npm ci`).

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as source from "../daypass.js";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const TOOLS = process.env.DAYPASS_TEST_BUILD_TOOLS ?? PACKAGE;
const BUILD = path.join(TOOLS, "dist/daypass.min.js");
/** Bytes, gzipped. */
const BUDGET = 5000;

const file = (name) => readFileSync(path.join(PACKAGE, name), "utf8");

before(() => {
  const stdout = execFileSync(process.execPath, [path.join(TOOLS, "build.mjs"), BUILD], { cwd: PACKAGE });
  console.log(stdout.toString().trim());
});

test(`the build has at most ${BUDGET} bytes gzipped`, () => {
  const { length } = execFileSync("gzip", ["-9", "-c", BUILD]);
  assert(length <= BUDGET, `${length} bytes`);
});

test("the README states the size of the build", () => {
  const { length } = execFileSync("gzip", ["-9", "-c", BUILD]);
  const stated = file("README.md").match(/[\d.]+ KB/g);
  assert(stated.length > 0);
  for (const size of stated) assert.equal(size, `${(length / 1000).toFixed(1)} KB`);
});

test("the build exports what the source exports, and the types declare it", async () => {
  const build = await import(pathToFileURL(BUILD));
  const types = file("daypass.d.ts");
  const declared = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(declared.sort(), Object.keys(source).sort());
  assert.deepEqual(Object.keys(build), Object.keys(source));
  for (const name of declared) {
    const members = ({ [name]: { prototype } }) => Object.getOwnPropertyNames(prototype).sort();
    assert.deepEqual(members(build), members(source), name);
  }
  const members = Object.getOwnPropertyNames(source.Daypass.prototype).filter((name) => name !== "constructor");
  for (const name of members) assert.match(types, new RegExp(`^  (readonly )?${name}[(:]`, "m"));
});

test("the build passes the unit tests", () => {
  const { NODE_TEST_CONTEXT, ...env } = process.env;
  const units = ["--test", "--test-reporter=tap", "test/daypass.test.mjs", "test/places.test.mjs", "test/dpop.test.mjs"];
  const { status, stdout } = spawnSync(process.execPath, units, {
    cwd: PACKAGE,
    env: { ...env, DAYPASS_TEST_MODULE: BUILD },
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout);
  const count = (name) => Number(new RegExp(`^# ${name} (\\d+)$`, "m").exec(stdout)[1]);
  assert(count("tests") > 40, stdout);
  assert.equal(count("pass"), count("tests"));
});

test("the package has the module, the build, the types and the licences of the project, and nothing else", () => {
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const [{ files }] = JSON.parse(execFileSync("npm", args, { cwd: PACKAGE, stdio: "pipe" }));
  const licences = ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"];
  // `npm pack` builds first. Here it may not: then the build is only there if a developer made it.
  const packed = files.map((entry) => entry.path).filter((name) => name !== "dist/daypass.min.js");
  assert.deepEqual(packed.sort(), [...licences, "README.md", "daypass.d.ts", "daypass.js", "package.json"]);
  const manifest = JSON.parse(file("package.json"));
  assert(manifest.files.includes("dist/daypass.min.js"));
  assert.equal(manifest.scripts.prepack, manifest.scripts.build);
  // Copies, because npm does not pack links.
  for (const name of licences) assert.equal(file(name), file(`../../${name}`), name);
});
