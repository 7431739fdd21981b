// Tools that patch socket.io's classes wait for these files of it to be loaded.
require("./broadcast-operator.js");
require("./namespace.js");
require("./socket.js");

module.exports = require("ferrio");
