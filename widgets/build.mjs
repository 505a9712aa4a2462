// Builds madrox_nb/static, which is committed: installing needs no node. The same
// sources give the same bytes; CI builds again and compares.
import { build } from "esbuild";

const result = await build({
  entryPoints: ["src/tree.ts", "src/tree.css"],
  outdir: "../madrox_nb/static",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none", // everything in the bundles is ours
  metafile: true,
});
for (const [file, { bytes }] of Object.entries(result.metafile.outputs)) {
  console.log(file, `${(bytes / 1024).toFixed(1)} KB`);
}
