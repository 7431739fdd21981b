export * from "ferrio/dist/typed-events";
