module.exports = require("ferrio/dist/socket");
