// Prints a JSON Web Token of a user, which expires after so many seconds.

import { SignJWT } from "../../../examples/recipes/node_modules/jose/dist/webapi/index.js";

const [user, seconds, secret] = process.argv.slice(2);
const expires = Math.floor(Date.now() / 1000) + Number(seconds);
const jwt = new SignJWT({ sub: user }).setProtectedHeader({ alg: "HS256" }).setExpirationTime(expires);
process.stdout.write(await jwt.sign(new TextEncoder().encode(secret)));
