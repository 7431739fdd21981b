// Both ways into the package give the same classes.

import { createRequire } from "node:module";
import * as imported from "ferrio";

const required = createRequire(import.meta.url)("ferrio");
console.log(
  JSON.stringify({
    names: Object.keys(imported).sort(),
    same: imported.Server === required.Server,
  }),
);
