/** This folder has the files of socket.io's `dist/`, with their exports, for those who reach into it. */

export * from "../index";

// It is a function, too.
module.exports = require("../index");
