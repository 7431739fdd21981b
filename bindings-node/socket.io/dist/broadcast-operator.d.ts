export * from "ferrio/dist/broadcast-operator";
