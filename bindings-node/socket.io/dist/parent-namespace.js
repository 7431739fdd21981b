module.exports = require("ferrio/dist/parent-namespace");
