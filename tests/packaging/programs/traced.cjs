// Serves with OpenTelemetry's instrumentation of socket.io at work, and prints the spans that it made.

const { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-node");
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { SocketIoInstrumentation } = require("@opentelemetry/instrumentation-socket.io");

const exporter = new InMemorySpanExporter();
const tracerProvider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
registerInstrumentations({ tracerProvider, instrumentations: [new SocketIoInstrumentation()] });

// After that, because the instrumentation patches what is loaded.
const { createServer } = require("node:http");
const { once } = require("node:events");
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");

(async () => {
  const httpServer = createServer();
  const server = new Server(httpServer);
  server.on("connection", (socket) => {
    socket.join("room");
    socket.on("question", (answer) => {
      socket.emit("to one");
      server.to("room").emit("to a room");
      answer();
    });
  });
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  const client = connect(`http://127.0.0.1:${httpServer.address().port}`);
  const told = new Promise((resolve) => client.once("to a room", resolve));
  await client.emitWithAck("question");
  await told;
  client.close();
  await server.close();
  const spans = exporter.getFinishedSpans().map(({ name, attributes }) => ({
    name,
    event: attributes["messaging.socket.io.event_name"],
    rooms: attributes["messaging.socket.io.rooms"]?.filter((room) => room === "room"),
  }));
  console.log(JSON.stringify(spans));
})();
