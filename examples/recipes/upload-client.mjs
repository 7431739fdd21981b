/**
 * Sends a file. The next piece leaves when the last is acknowledged, so that nothing piles up on a slow line.
 * `onProgress` is called with the number of bytes that have arrived.
 */
export async function upload(socket, bytes, onProgress = () => {}, pieceSize = 256 * 1024) {
  const { id } = await ask(socket, "upload", { size: bytes.byteLength });
  for (let offset = 0; offset < bytes.byteLength; offset += pieceSize) {
    const piece = { id, offset, bytes: bytes.slice(offset, offset + pieceSize) };
    onProgress((await ask(socket, "piece", piece)).received);
  }
  return id;
}

async function ask(socket, event, request) {
  const answer = await socket.timeout(10_000).emitWithAck(event, request);
  if (answer.error) throw new Error(answer.error);
  return answer;
}
