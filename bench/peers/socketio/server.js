// Socket.IO 4 with its Redis streams adapter, as a node: a room a session, connection state recovery on.
// The adapter keeps its last 10,000 entries by default, two seconds of a hundred answers; here 100,000.

import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { produce, question, reply } from "./tokens.js";

const redis = createClient({ url: process.env.REDIS_URL });
await redis.connect();

const http = createServer();
const io = new Server(http, {
  adapter: createAdapter(redis, { maxLen: 100_000 }),
  connectionStateRecovery: {},
  transports: ["websocket"],
});

io.on("connection", (socket) => {
  if (!socket.recovered && socket.handshake.auth.session) socket.join(socket.handshake.auth.session);
});

http.on("request", async (request, response) => {
  const [, route, session] = request.url.split("/");
  if (route !== "say") return;
  const prompt = await question(request);
  reply(response, 200, {});
  await produce(prompt, (text) => {
    io.to(session).emit("token", text);
  });
  io.to(session).emit("end");
});

http.listen(Number(process.env.PORT), "127.0.0.1");
