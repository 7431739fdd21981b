module.exports = require("ferrio/dist/typed-events");
