// Vercel's resumable-stream as a node: an answer is a stream of server-sent events; who comes later, or to another
// node, is sent what it lacks by the producer, over pub/sub.

import { once } from "node:events";
import { createServer } from "node:http";
import { createClient } from "redis";
import { createResumableStreamContext } from "resumable-stream";
import { produce, question, reply } from "./tokens.js";

const [publisher, subscriber] = [0, 1].map(() => createClient({ url: process.env.REDIS_URL }));
await Promise.all([publisher.connect(), subscriber.connect()]);
const context = createResumableStreamContext({ waitUntil: null, publisher, subscriber });

const answer = (prompt) =>
  new ReadableStream({
    async start(controller) {
      await produce(prompt, (text) => controller.enqueue(`data: ${JSON.stringify({ text })}\n\n`));
      controller.close();
    },
  });

async function send(stream, response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  response.flushHeaders();
  const reader = stream.getReader();
  response.on("close", () => reader.cancel().catch(() => {}));
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!response.write(value)) await once(response, "drain");
  }
  response.end();
}

async function answered(request, response) {
  const url = new URL(request.url, "http://node");
  const [, route, session] = url.pathname.split("/");
  if (route === "say") {
    const prompt = await question(request);
    await context.createNewResumableStream(session, () => answer(prompt));
    reply(response, 200, {});
    return;
  }
  const stream = await context.resumeExistingStream(session, Number(url.searchParams.get("skip") ?? 0));
  if (stream) await send(stream, response);
  else reply(response, 404, {});
}

createServer((request, response) => {
  answered(request, response).catch(() => response.destroy()); // such as: the producer did not reply in time
}).listen(Number(process.env.PORT), "127.0.0.1", 4096);
