export * from "ferrio/dist/socket-types";
