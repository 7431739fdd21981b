module.exports = require("ferrio/dist/broadcast-operator");
