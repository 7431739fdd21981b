// Both ways into the package give the same classes.

import { createRequire } from "node:module";
import * as imported from "ferrio";
import * as engine from "ferrio/engine";

const require = createRequire(import.meta.url);
const required = require("ferrio");
console.log(
  JSON.stringify({
    names: Object.keys(imported).sort(),
    same: imported.Server === required.Server && engine.Server === require("ferrio/engine").Server,
  }),
);
