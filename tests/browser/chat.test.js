const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");
const { Middlebox } = require("./middlebox");
const { ChatServer, official, root, serverNames } = require("./server");
const { Tab } = require("./tab");

const artifacts = path.join(root, "tests/artifacts");

let browser;

beforeAll(async () => {
  fs.mkdirSync(artifacts, { recursive: true });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
  });
});

afterAll(() => browser?.close());

describe.each(serverNames)("%s", (serverName) => {
  let server;
  let tabs;

  beforeEach(async () => {
    tabs = [];
    server = new ChatServer(serverName);
    await server.start();
  });

  afterEach(async () => {
    const errors = tabs.flatMap((tab) => tab.errors);
    await Promise.all(tabs.map((tab) => tab.close()));
    await server.kill();
    expect(errors).toEqual([]);
  });

  const open = async (nickname, url = server.url) => {
    const tab = await Tab.open(browser, url, nickname);
    tabs.push(tab);
    return tab;
  };

  /** Two people enter the lobby, one after the other, and see each other. */
  const openPair = async (url) => {
    const alice = await open("alice", url);
    await alice.enter("lobby");
    const bob = await open("bob", url);
    await bob.enter("lobby");
    await alice.sees("bob joined");
    return [alice, bob];
  };

  test("lets two tabs talk in rooms and in private", async () => {
    const [alice, bob] = await openPair();
    await alice.seesTransport("websocket");
    await bob.seesTransport("websocket");
    await alice.page.getByText("alice, bob", { exact: true }).waitFor();

    const typing = bob.page.getByRole("status", { name: "Typing" });
    await alice.page.getByLabel("Message", { exact: true }).pressSequentially("Hel");
    await typing.getByText("alice is typing…").waitFor();
    await alice.say("Hello, <b>bob</b>!");
    await bob.sees("Hello, <b>bob</b>!");
    expect(await typing.textContent()).toBe("");

    await bob.choosePerson("alice");
    await bob.say("Between us: 私たち 🤫");
    await alice.page.getByLabel("1 unread").waitFor();
    await alice.choosePerson("bob");
    await alice.sees("Between us: 私たち 🤫");
    await alice.say("I tell nobody");
    await bob.sees("I tell nobody");
    await bob.chooseRoom("lobby");
    expect(await bob.message("I tell nobody").count()).toBe(0);

    await alice.chooseRoom("lobby");
    await alice.page.screenshot({ path: path.join(artifacts, `${screenshotName(serverName)}.png`) });

    await bob.page.getByRole("button", { name: "Leave" }).click();
    await alice.sees("bob left");
    await alice.say("Is nobody here?");
    await bob.join("lobby");
    await bob.sees("Is nobody here?");
    await alice.close();
    await bob.sees("alice left");
  });

  test("keeps rooms apart", async () => {
    const [alice, bob] = await openPair();
    await bob.join("garden");
    await bob.say("Only flowers hear this");
    await bob.chooseRoom("lobby");
    await bob.say("Everybody hears this");
    await alice.sees("Everybody hears this");
    expect(await alice.message("Only flowers hear this").count()).toBe(0);
    const response = await fetch(`${server.url}/api/rooms`);
    expect(await response.json()).toEqual([
      { name: "lobby", members: ["alice", "bob"] },
      { name: "garden", members: ["bob"] },
    ]);
  });

  test("refuses a nickname of spaces and says why", async () => {
    const nobody = await open("   ");
    await nobody.page.getByLabel("Nickname").fill("   ");
    await nobody.page.getByRole("button", { name: "Enter" }).click();
    await nobody.page.getByRole("alert").getByText("choose a nickname").first().waitFor();
  });

  test("is carried by polling where WebSocket is blocked", async () => {
    const middlebox = new Middlebox(server.port);
    await middlebox.start();
    try {
      const [alice, bob] = await openPair(middlebox.url);
      await middlebox.refused(2);
      await alice.say("Does the long way work?");
      await bob.sees("Does the long way work?");
      await bob.say("It does");
      await alice.sees("It does");
      await alice.seesTransport("polling");
      await bob.seesTransport("polling");
      await alice.page.screenshot({
        path: path.join(artifacts, `${screenshotName(serverName)}-polling.png`),
      });
    } finally {
      await middlebox.stop();
    }
  });

  test("is joined again after the server was killed and restarted", async () => {
    const [alice, bob] = await openPair();
    await alice.seesTransport("websocket");
    await server.kill();
    const banner = (tab) => tab.page.getByRole("alert").getByText("The connection is lost");
    await banner(alice).waitFor();
    await banner(bob).waitFor();
    expect(await alice.page.getByRole("button", { name: "Send" }).isDisabled()).toBe(true);
    await alice.page.screenshot({ path: path.join(artifacts, `${screenshotName(serverName)}-lost.png`) });

    await server.start();
    await Promise.all([alice, bob].map((tab) => banner(tab).waitFor({ state: "hidden" })));
    await Promise.all([alice, bob].map((tab) => tab.page.getByText("alice, bob", { exact: true }).waitFor()));
    await alice.seesTransport("websocket");
    await bob.seesTransport("websocket");
    await alice.say("Where were we?");
    await bob.sees("Where were we?");
  });
});

function screenshotName(serverName) {
  return `${serverName.replaceAll(" ", "-")}${official ? "-official" : ""}`;
}
