// A proxy such as some offices and hotels have: HTTP passes, every upgrade to WebSocket is cut off.

const { EventEmitter, once } = require("node:events");
const http = require("node:http");

class Middlebox extends EventEmitter {
  #nRefused = 0;

  constructor(targetPort) {
    super();
    this.server = http.createServer((request, response) => {
      const { method, url: path, headers } = request;
      const onward = http.request({ host: "127.0.0.1", port: targetPort, method, path, headers });
      onward.on("response", (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      response.on("close", () => onward.destroy());
      request.pipe(onward);
    });
    this.server.on("upgrade", (_request, socket) => {
      socket.destroy();
      this.#nRefused += 1;
      this.emit("refused");
    });
  }

  async start() {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  /** Returns once so many upgrades were tried in vain. */
  async refused(nUpgrades) {
    while (this.#nRefused < nUpgrades) await once(this, "refused");
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }
}

module.exports = { Middlebox };
