// The official admin UI, as it is built in its package, against a server in each language.

const fs = require("node:fs");
const http = require("node:http");
const { once } = require("node:events");
const { createRequire } = require("node:module");
const path = require("node:path");
const { chromium } = require("playwright-core");
const { ChatServer, adminNames, root } = require("./server");

const artifacts = path.join(root, "tests/artifacts");
const fromTests = createRequire(path.join(root, "tests/node/package.json"));
const pages = path.join(path.dirname(fromTests.resolve("@socket.io/admin-ui/package.json")), "ui/dist");
const { io } = fromTests("socket.io-client");

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

let browser;
let host;

beforeAll(async () => {
  fs.mkdirSync(artifacts, { recursive: true });
  host = http.createServer((request, response) => {
    const name = new URL(request.url, "http://host").pathname;
    const file = path.join(pages, name === "/" ? "index.html" : path.normalize(name));
    fs.readFile(file, (error, content) => {
      response.writeHead(error ? 404 : 200, { "content-type": TYPES[path.extname(file)] ?? "image/png" });
      response.end(error ? "" : content);
    });
  });
  host.listen(0, "127.0.0.1");
  await once(host, "listening");
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
  });
});

afterAll(async () => {
  await browser?.close();
  host.closeAllConnections();
  host.close();
});

describe.each(adminNames)("%s", (serverName) => {
  let server;
  let clients;
  let page;
  let errors;

  beforeEach(async () => {
    errors = [];
    clients = [];
    server = new ChatServer(serverName);
    await server.start();
    const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
    // Fonts and icons from elsewhere: the page can do without.
    await context.route(
      (url) => url.hostname !== "127.0.0.1",
      (route) => route.abort(),
    );
    page = await context.newPage();
    page.on("pageerror", (error) => errors.push(error));
  });

  afterEach(async () => {
    await page.context().close();
    for (const client of clients) client.close();
    await server.kill();
    expect(errors).toEqual([]);
  });

  const connect = async () => {
    const client = io(server.url, { forceNew: true, reconnection: false });
    clients.push(client);
    await new Promise((resolve, reject) => client.once("connect", resolve).once("connect_error", reject));
    return client;
  };

  const logIn = async (password) => {
    await page.getByLabel("Server URL").fill(server.url);
    await page.getByLabel("Username").fill("admin");
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Connect" }).click();
  };

  const open = (title) => page.getByRole("navigation").getByRole("link", { name: title }).click();
  const row = (text) => page.getByRole("row").filter({ hasText: text });

  test("logs in, sees clients, rooms and events, and disconnects a client", async () => {
    const client = await connect();
    const { id } = client;
    await page.goto(`http://127.0.0.1:${host.address().port}/`);
    await logIn("wrong");
    await page.getByText(/invalid credentials|authentication failed/i).waitFor();
    await logIn("changeit");
    await page.getByLabel("Password").waitFor({ state: "hidden" });
    await row("Healthy").first().getByRole("heading", { name: "1" }).waitFor();
    await page.screenshot({ path: path.join(artifacts, `${serverName.replaceAll(" ", "-")}.png`) });

    await open("Sockets");
    await row(id).waitFor();
    await row(id).getByText("WebSocket").waitFor();
    const second = await connect();
    await row(second.id).waitFor();

    await open("Rooms");
    await row("lobby").getByRole("cell", { name: "2", exact: true }).waitFor();

    await open("Events");
    const heard = new Promise((resolve) => client.once("said", resolve));
    client.emit("say", "hello");
    expect(await heard).toBe("hello");
    const say = page.getByRole("row").filter({ hasText: id }).getByText("say", { exact: true });
    await say.waitFor();
    await page.getByRole("row").filter({ hasText: second.id }).getByText("said", { exact: true }).waitFor();

    await open("Sockets");
    const gone = new Promise((resolve) => client.once("disconnect", resolve));
    await row(id).getByRole("button").click();
    expect(await gone).toBe("io server disconnect");
    // The click has opened its details, too.
    await row("Status").filter({ hasText: "disconnected" }).first().waitFor();
    await open("Sockets");
    await row(second.id).waitFor();
    await row(id).first().waitFor({ state: "detached" });
    expect(second.connected).toBe(true);
    await open("Rooms");
    await row("lobby").getByRole("cell", { name: "1", exact: true }).waitFor();

    // Who was in stays in.
    await page.reload();
    await open("Sockets");
    await row(second.id).waitFor();
  });
});
