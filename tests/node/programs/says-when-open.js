"use strict";

/** Tells its port in the moment in which it is open, and serves until it is killed. */

const { underTest } = require("../support/module");

const io = new underTest.Server(0);
const tell = () => process.stdout.write(String(io.httpServer.address().port));
if (io.httpServer.listening) tell();
else io.httpServer.once("listening", tell);
