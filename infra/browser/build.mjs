// Minifies daypass.js into one file, dist/daypass.min.js or the file that the argument names, and prints the sizes.
//
// Paths start at the working directory: `cargo verify` runs a copy of this program, beside the esbuild that it installed.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const source = "daypass.js";
const [minified = "dist/daypass.min.js"] = process.argv.slice(2);

await build({
  entryPoints: [source],
  outfile: minified,
  minify: true,
  format: "esm",
  // Private methods and `??=` stay: every browser with `AbortSignal.timeout`, which the module needs, has them.
  target: "es2022",
});

const gzipped = (file) => gzipSync(readFileSync(file), { level: 9 }).length;
for (const [name, file] of [["daypass.js", source], ["daypass.min.js", minified]]) {
  console.log(`${name}: ${readFileSync(file).length} bytes, ${gzipped(file)} gzipped`);
}
