/** Says where a server listens, once it does. */
export function announce(io) {
  const tell = () => console.log(`http://127.0.0.1:${io.httpServer.address().port}`);
  if (io.httpServer.listening) tell();
  else io.httpServer.once("listening", tell);
}
