// A NestJS gateway: only the adapter says which package serves it. `npx tsx nestjs.ts`.

import "reflect-metadata";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { IoAdapter } from "@nestjs/platform-socket.io";
import {
  ConnectedSocket,
  MessageBody,
  type OnGatewayConnection,
  SubscribeMessage,
  WebSocketGateway,
  WebSocketServer,
} from "@nestjs/websockets";
import { Server, type ServerOptions, type Socket } from "ferrio";

class FerrioAdapter extends IoAdapter {
  // The return type that Nest declares is that of the package which is replaced.
  override createIOServer(port: number, options?: Partial<ServerOptions>) {
    const server = port === 0 && this.httpServer ? this.httpServer : port;
    // biome-ignore lint/suspicious/noExplicitAny: see above.
    return new Server(server, options) as any;
  }
}

@WebSocketGateway()
class ChatGateway implements OnGatewayConnection {
  @WebSocketServer()
  private readonly io!: Server;

  handleConnection(socket: Socket) {
    socket.emit("welcome", socket.id);
  }

  @SubscribeMessage("say")
  say(@MessageBody() text: string, @ConnectedSocket() socket: Socket) {
    this.io.emit("said", socket.id, text);
    // Nest answers the client with what a handler returns.
    return text.length;
  }
}

@Module({ providers: [ChatGateway] })
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ["error"] });
app.useWebSocketAdapter(new FerrioAdapter(app));
app.enableShutdownHooks();
await app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
console.log(await app.getUrl());
