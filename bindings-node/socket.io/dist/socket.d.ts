export * from "ferrio/dist/socket";
