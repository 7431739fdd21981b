// One person at one tab: what they do, and what they wait to see. Everything is found as assistive technology finds
// it, by role and name.

class Tab {
  /** Opens the chat in a window of its own, so that tabs share nothing. */
  static async open(browser, url, nickname) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 700 } });
    const tab = new Tab(await context.newPage(), nickname);
    await tab.page.goto(url);
    return tab;
  }

  constructor(page, nickname) {
    this.page = page;
    this.nickname = nickname;
    this.errors = [];
    page.on("pageerror", (error) => this.errors.push(error));
  }

  async enter(room) {
    await this.page.getByLabel("Nickname").fill(this.nickname);
    await this.page.getByLabel("Room", { exact: true }).fill(room);
    await this.page.getByRole("button", { name: "Enter" }).click();
    await this.sees(`you joined ${room}`);
  }

  async join(room) {
    await this.page.getByLabel("Room to join").fill(room);
    await this.page.getByRole("button", { name: "Join" }).click();
    await this.sees(`you joined ${room}`);
  }

  /** Writes a message and returns once the server has acknowledged it. */
  async say(text) {
    await this.page.getByLabel("Message", { exact: true }).fill(text);
    await this.page.getByRole("button", { name: "Send" }).click();
    await this.message(text).getByText("delivered", { exact: true }).waitFor();
  }

  async choosePerson(nickname) {
    await this.entry(nickname).click();
    await this.page.getByRole("heading", { name: `@ ${nickname}` }).waitFor();
  }

  async chooseRoom(room) {
    await this.entry(`# ${room}`).click();
    await this.page.getByRole("heading", { name: `# ${room}` }).waitFor();
  }

  entry(name) {
    return this.page.getByRole("navigation").getByRole("button", { name });
  }

  message(text) {
    return this.page.getByRole("listitem").filter({ hasText: text });
  }

  async sees(text) {
    await this.page.getByRole("log").getByText(text).last().waitFor();
  }

  async seesTransport(name) {
    await this.page.getByRole("status", { name: "Connection" }).getByText(name, { exact: true }).waitFor();
  }

  async close() {
    await this.page.context().close();
  }
}

module.exports = { Tab };
