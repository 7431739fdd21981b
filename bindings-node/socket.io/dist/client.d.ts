export * from "ferrio/dist/client";
