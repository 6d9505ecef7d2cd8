// What `bench/tokens.py` says of tokens, for peers that make their own: each token is the tick at which it was due.

const TICKS = 100_000; // in a second
const WRAP = 100_000_000;

const ticks = () => Number(process.hrtime.bigint() / 10_000n);

// Say what a prompt of `tokens.Ask` asks for: call `take` with each token when it is due, and return after the last.
export async function produce(prompt, take) {
  const [, interval, count, phase, wait] = prompt.split(" ").map(Number);
  const least = ticks() + wait;
  const first = least + ((((phase - least) % interval) + interval) % interval);
  for (let index = 0; index < count; index++) {
    const due = first + index * interval;
    for (let early = due - ticks(); early > 0; early = due - ticks()) {
      await new Promise((resolve) => setTimeout(resolve, Math.ceil((early * 1000) / TICKS))); // may be early itself
    }
    await take(`${String(due % WRAP).padStart(8, "0")} `);
  }
}

// The question of a request, whose body is `{"text": …}`.
export async function question(request) {
  let body = "";
  for await (const part of request) body += part;
  return JSON.parse(body).text;
}

// Answer a request with JSON.
export function reply(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}
