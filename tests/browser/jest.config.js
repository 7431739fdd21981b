module.exports = {
  displayName: "browser",
  rootDir: __dirname,
  testEnvironment: "node",
  // A cold Chromium on a loaded machine of two cores needs most of ten seconds to show its first page.
  testTimeout: 90_000,
};
