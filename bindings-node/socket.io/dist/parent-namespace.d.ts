export * from "ferrio/dist/parent-namespace";
