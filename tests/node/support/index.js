"use strict";

/** Everything that the scenarios use. */
module.exports = {
  ...require("./cleanup"),
  ...require("./client"),
  ...require("./module"),
  ...require("./raw"),
  ...require("./server"),
  ...require("./tcp"),
  ...require("./wait"),
};
