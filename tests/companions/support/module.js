"use strict";

/** The server under test: ferrio from the repository root, or the official one with `FERRIO_TEST_MODULE=socket.io`. */

const path = require("node:path");

const OFFICIAL = "socket.io";
const underTest = process.env.FERRIO_TEST_MODULE || path.resolve(__dirname, "../../..");

/** Which server each node of a cluster is. With the official server under test a mixed cluster shows nothing. */
const MIXED = [OFFICIAL, underTest, OFFICIAL];
const isOfficial = underTest === OFFICIAL;

module.exports = { underTest, isOfficial, MIXED };
