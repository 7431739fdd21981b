module.exports = {
  displayName: "recipes",
  rootDir: __dirname,
  testEnvironment: "node",
  // A recipe in TypeScript is compiled when it starts.
  testTimeout: 60_000,
};
