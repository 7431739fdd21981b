"use strict";

const fs = require("node:fs");
const path = require("node:path");

/** The titles under each heading of the shared list that are not Python's alone. */
function listed() {
  const list = new Map();
  let titles;
  for (const line of fs.readFileSync(path.join(__dirname, "..", "SCENARIOS.md"), "utf8").split("\n")) {
    const heading = /^## (\S+)$/.exec(line);
    const bullet = /^- (?!\*)(.*)$/.exec(line);
    if (heading) {
      titles = [];
      list.set(heading[1], titles);
    } else if (bullet && titles && !bullet[1].includes("*(python)*")) {
      titles.push(bullet[1].replace(/( \*(raw|\(\w+\))\*)+$/, ""));
    }
  }
  return list;
}

function source(name) {
  return fs.readFileSync(path.join(__dirname, `${name}.test.js`), "utf8");
}

describe("scenarios", () => {
  test("every scenario of the shared list has its test", () => {
    const missing = [];
    for (const [name, titles] of listed()) {
      const text = source(name);
      missing.push(...titles.filter((title) => !text.includes(title)).map((title) => `${name}: ${title}`));
    }
    expect(missing).toEqual([]);
  });

  test("every test stands in the shared list", () => {
    const unlisted = [];
    for (const [name, titles] of listed()) {
      for (const [, , title] of source(name).matchAll(/\btest\(\s*(["'`])(.*?)\1,/g)) {
        if (!titles.includes(title)) unlisted.push(`${name}: ${title}`);
      }
    }
    expect(unlisted).toEqual([]);
  });
});
