// What the packages named on the command line show to those who reach into them, and whether the first one's classes
// are those of the second.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [name, original] = process.argv.slice(2);
const files = [
  "broadcast-operator",
  "client",
  "index",
  "namespace",
  "parent-namespace",
  "socket",
  "socket-types",
  "typed-events",
];
const shown = {};
for (const file of files) {
  const module = require(`${name}/dist/${file}`);
  shown[file] = Object.keys(module).sort();
  const isSame = require(`${name}/dist/${file}.js`) === module;
  const isOriginal = Object.entries(require(`${original}/dist/${file}`)).every(
    ([key, it]) => module[key] === it,
  );
  if (!isSame || !isOriginal) throw new Error(`${file} is another one`);
}
const main = require(name);
const wrapper = await import(`${name}/wrapper.mjs`);
const imported = await import(name);
console.log(
  JSON.stringify({
    shown,
    callable: typeof main,
    main: Object.keys(main).sort(),
    wrapper: Object.keys(wrapper).sort(),
    same: [wrapper, imported].every(
      ({ Server }) => Server === main.Server && Server === require(original).Server,
    ),
    version: require(`${name}/package.json`).version,
  }),
);
