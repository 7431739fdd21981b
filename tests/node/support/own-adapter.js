"use strict";

/** An adapter that shares nothing with npm's: it keeps rooms itself and sends to each socket. */
class OwnAdapter {
  constructor(nsp) {
    this.nsp = nsp;
    this.members = new Map();
  }
  init() {}
  close() {}
  serverCount() {
    return Promise.resolve(1);
  }
  addAll(id, rooms) {
    for (const room of rooms) this.members.set(room, (this.members.get(room) ?? new Set()).add(id));
  }
  del(id, room) {
    this.members.get(room)?.delete(id);
  }
  delAll(id) {
    for (const members of this.members.values()) members.delete(id);
  }
  socketRooms(id) {
    return new Set([...this.members].filter(([, members]) => members.has(id)).map(([room]) => room));
  }
  selected({ rooms, except = new Set() }) {
    const isIn = (id, some) => [...some].some((room) => this.members.get(room)?.has(id));
    return [...this.nsp.sockets.values()].filter(
      ({ id }) => (rooms.size === 0 || isIn(id, rooms)) && !isIn(id, except),
    );
  }
  broadcast(packet, opts) {
    packet.nsp = this.nsp.name;
    const messages = this.nsp.server.encoder.encode(packet);
    for (const socket of this.selected(opts)) {
      socket.notifyOutgoingListeners(packet);
      socket.client.writeToEngine(messages, { preEncoded: true, ...opts.flags });
    }
  }
  broadcastWithAck(packet, opts, clientCountCallback, ack) {
    packet.nsp = this.nsp.name;
    packet.id = this.nsp._ids++;
    const messages = this.nsp.server.encoder.encode(packet);
    const sockets = this.selected(opts);
    for (const socket of sockets) {
      socket.acks.set(packet.id, ack);
      socket.client.writeToEngine(messages, { preEncoded: true });
    }
    clientCountCallback(sockets.length);
  }
  fetchSockets(opts) {
    return Promise.resolve(this.selected(opts));
  }
}

module.exports = { OwnAdapter };
