// Builds madrox_nb/static, which is committed: installing needs no node. The same
// sources give the same bytes; CI builds again and compares.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const STATIC = "../madrox_nb/static";
const SHAPE = { bundle: true, minify: true, charset: "utf8", legalComments: "none" }; // see THIRD_PARTY.txt

/** `import css from "./x.css?inline"` is the style as text, as vite has it. */
const inline = {
  name: "inline",
  setup({ onResolve, onLoad, resolve }) {
    onResolve({ filter: /\.css\?inline$/ }, async ({ path, resolveDir }) => {
      const found = await resolve(path.replace("?inline", ""), { resolveDir, kind: "import-statement" });
      return { path: found.path, namespace: "inline", pluginData: found };
    });
    onLoad({ filter: /.*/, namespace: "inline" }, async ({ path }) => {
      const made = await build({ ...SHAPE, entryPoints: [path], write: false, external: ["data:*"] });
      return { contents: made.outputFiles[0].text.trim(), loader: "text" };
    });
  },
};

const result = await build({
  ...SHAPE,
  entryPoints: {
    loader: "src/loader.ts",
    widget: "src/widget.ts",
    uplot: "src/libraries/uplot.ts",
    xterm: "src/libraries/xterm.ts",
  },
  outdir: STATIC,
  format: "esm",
  target: "es2022",
  plugins: [inline],
  metafile: true,
});

const packages = new Set(
  Object.keys(result.metafile.inputs)
    .map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1])
    .filter(Boolean),
);
const notices = [...packages].sort().map((name) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  const file = readdirSync(`node_modules/${name}`).find((each) => /^licen[cs]e/i.test(each));
  return `${name} ${version} (${license})\n\n${readFileSync(`node_modules/${name}/${file}`, "utf8").trim()}\n`;
});
writeFileSync(`${STATIC}/THIRD_PARTY.txt`, `The files beside this one contain:\n\n${notices.join("\n----\n\n")}`);

for (const [file, { bytes }] of Object.entries(result.metafile.outputs)) {
  console.log(file, `${(bytes / 1024).toFixed(1)} KB`);
}
