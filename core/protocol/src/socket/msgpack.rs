//! Socket.IO packets in MessagePack, translated from and to JSON text.
