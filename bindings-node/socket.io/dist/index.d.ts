export * from "ferrio";
