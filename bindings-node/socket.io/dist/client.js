module.exports = require("ferrio/dist/client");
