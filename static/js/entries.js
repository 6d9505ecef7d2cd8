// What each kind of entry does to a session: the fold, one function a kind.
//
// Pure: no DOM, no socket, no clock. app/core/transcript.py is the same fold, and tests/golden holds both to it.
// `session` is the state that is compared; `aside` is what the fold remembers besides:
//   kept   where this run's last settled tool call left its text and reasoning; null after a snapshot that does not say
//   ended  the ends of runs whose text we held, for the check of their SHA-256
//   over   the runs that have ended, queued ones too
//   cut    whose place the next turn takes, or the next run's answer: {turn, keep, replaced}, or null
//   served run id → {node, model, attempt}: who answered

// Exactly what Python's str.split() takes for whitespace (JavaScript's \s has U+FEFF more and six controls less).
const BLANK = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

/** A title from a first turn: one line, at most 80 code points. */
export function titleOf(text) {
  const line = text.replace(BLANK, " ").replace(/^ | $/g, "");
  return [...line].slice(0, 80).join("");
}

const SETTINGS = ["model", "temperature", "prompt"];

/** Have these settings, which are not the default; none: no field. */
export function arrange(session, settings) {
  if (Object.keys(settings).length) session.settings = settings;
  else delete session.settings;
}

const isSettled = (tool) => "result" in tool || "error" in tool;

export const NOTHING_KEPT = Object.freeze({ text: 0, reasoning: 0 });

/** Where a run that came with a snapshot may be cut back to: unknown once it has a settled tool call. */
export const keptBySnapshot = (run) => (run?.tools?.some(isSettled) ? null : NOTHING_KEPT);

/** Whether an entry cuts its run back to a place that no snapshot told: nothing of its batch can be folded. */
export const isUnfoldable = (session, { kind, how, run }, { kept }) =>
  kind === "run" && how === "restart" && session.run?.id === run && kept === null;

const current = (session, entry) => (session.run?.id === entry.run ? session.run : null);

// A person's turn enters the history.
function said(session, { id, text, run }, at, aside) {
  const replaced = aside.cut?.keep ? null : aside.cut?.replaced;
  if (!aside.cut?.keep) aside.cut = null;
  session.turns.push({ id, role: "user", text, run, at, ...(replaced?.length ? { replaced } : {}) });
}

function begin(session, entry, at, aside) {
  const isWaiting = ({ id }) => id === entry.turn;
  for (const turn of session.queued.filter(isWaiting)) said(session, turn, at, aside);
  session.queued = session.queued.filter((turn) => !isWaiting(turn));
}

function restart(run, { kept }) {
  run.text = run.text.slice(0, kept.text);
  run.reasoning = run.reasoning.slice(0, kept.reasoning);
  run.tools = run.tools.filter(isSettled);
  run.asks = [];
}

export const FOLD = {
  turn(session, { id, text, run, queued }, at, aside) {
    if (queued) session.queued.push({ id, text, run });
    else said(session, { id, text, run }, at, aside);
    if (session.title === "") session.title = titleOf(text);
  },

  run(session, entry, at, aside) {
    begin(session, entry, at, aside);
    const { attempt, how, node, model } = entry;
    aside.served.set(entry.run, { node, model, attempt });
    const run = current(session, entry);
    if (!run) {
      const { run: id, turn } = entry;
      const empty = { text: "", reasoning: "", tools: [], asks: [] };
      const replaced = aside.cut?.turn === turn ? aside.cut.replaced : null;
      session.run = { id, turn, state: "running", attempt, how, node, model, ...empty };
      if (replaced?.length) session.run.replaced = replaced;
      aside.cut = null;
      aside.kept = NOTHING_KEPT;
      return;
    }
    if (how === "restart") restart(run, aside);
    Object.assign(run, { state: "running", attempt, how, node, model });
  },

  delta(session, entry) {
    const run = current(session, entry);
    if (run) run.text += entry.text;
  },

  reasoning(session, entry) {
    const run = current(session, entry);
    if (run) run.reasoning += entry.text;
  },

  tool(session, entry, at, aside) {
    const run = current(session, entry);
    if (!run) return;
    let tool = run.tools.find(({ call }) => call === entry.call);
    if (!tool) {
      run.tools.push((tool = { call: entry.call }));
      run.asks = run.asks.filter(({ call }) => call !== entry.call); // its answer may be lost
    }
    for (const field of ["name", "arguments", "result", "error"]) if (entry[field] != null) tool[field] = entry[field];
    if (isSettled(tool)) aside.kept = { text: run.text.length, reasoning: run.reasoning.length };
  },

  ask(session, entry) {
    const { call, name, arguments: given, until } = entry;
    current(session, entry)?.asks.push({ call, name, arguments: given, until });
  },

  answer(session, entry) {
    const run = current(session, entry);
    if (run) run.asks = run.asks.filter(({ call }) => call !== entry.call);
  },

  hold(session, entry) {
    const run = current(session, entry);
    if (run) run.state = "held";
  },

  end(session, entry, at, aside) {
    aside.over.push(entry.run);
    session.queued = session.queued.filter((turn) => turn.run !== entry.run);
    const run = current(session, entry);
    if (!run) return;
    const turn = { id: run.id, role: "assistant", text: run.text, run: run.id, at, model: run.model };
    if (entry.usage != null) turn.usage = entry.usage;
    if (entry.timing != null) turn.timing = entry.timing;
    if (entry.state !== "done") turn.state = entry.state;
    if (entry.state !== "done" && entry.code != null) turn.code = entry.code;
    if (run.reasoning) turn.reasoning = run.reasoning;
    if (run.tools.length) turn.calls = run.tools;
    if (run.replaced) turn.replaced = run.replaced;
    session.turns.push(turn);
    session.run = null;
    aside.ended.push({ run: run.id, text: run.text, length: entry.length, sha256: entry.sha256 });
  },

  // A turn that is not here is older than all that are.
  cut(session, { turn, keep, replaced }, at, aside) {
    const place = session.turns.findIndex(({ id }) => id === turn);
    session.turns.length = place < 0 ? 0 : place + (keep ? 1 : 0);
    aside.cut = { turn, keep, replaced };
  },

  rating(session, { turn, value, note }) {
    session.turns = session.turns.map((one) => {
      if (one.id !== turn) return one;
      const { rating, ...rest } = one;
      return value == null ? rest : { ...rest, rating: { value, ...(note ? { note } : {}) } };
    });
  },

  meta(session, { title, ...told }) {
    if (title != null) session.title = title;
    const settings = { ...session.settings };
    for (const name of SETTINGS) {
      if (told[name] === "") delete settings[name];
      else if (told[name] != null) settings[name] = told[name];
    }
    arrange(session, settings);
  },

  gone(session) {
    Object.assign(session, { gone: true, turns: [], queued: [], run: null, title: "" });
    arrange(session, {});
  },
};
