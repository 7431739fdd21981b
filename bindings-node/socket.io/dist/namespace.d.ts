export * from "ferrio/dist/namespace";
