module.exports = require("ferrio/dist/namespace");
