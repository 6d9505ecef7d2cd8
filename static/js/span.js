// Which of a session's turns are in the page: some around what is read. All others are a scroll away.
//
// Pure. A turn is known by its id: its object is another one once it is rated. Nothing that is read is taken away: at the
// end the oldest go only while the page is pinned there.

const PAGE = 50;
const MOST = 150;

const placeOf = (turns, id) => (id === null ? -1 : turns.findLastIndex((turn) => turn.id === id));

export class Span {
  #first = null; // the id of the first that is there; null: some at the end
  #last = null; // of the last, where that is not the newest
  #turns = [];
  #bounds = [0, 0];

  /** Of all turns those that are there. */
  of(turns, { isPinned }) {
    this.#turns = turns;
    const last = placeOf(turns, this.#last);
    const end = last < 0 ? turns.length : last + 1;
    if (last < 0) this.#last = null;
    const first = placeOf(turns, this.#first);
    const isMuch = isPinned && this.#last === null && end - first > MOST;
    this.#move(first < 0 || isMuch ? end - PAGE : first, end);
    return turns.slice(...this.#bounds);
  }

  get isAtEnd() {
    return this.#last === null;
  }

  /** Whether there are turns before those that are there. */
  get hasBefore() {
    return this.#bounds[0] > 0;
  }

  /** Have some of those before; of the last ones, some go. */
  up() {
    const [first, end] = this.#bounds;
    this.#move(first - PAGE, Math.min(end, Math.max(0, first - PAGE) + MOST));
  }

  /** Have some of those after; of the first ones, some go. */
  down() {
    const [first, before] = this.#bounds;
    const end = Math.min(this.#turns.length, before + PAGE);
    this.#move(Math.max(first, end - MOST), end);
  }

  toEnd() {
    this.#first = this.#last = null;
  }

  #move(first, end) {
    this.#bounds = [Math.max(0, first), end];
    this.#first = this.#turns[this.#bounds[0]]?.id ?? null;
    this.#last = end < this.#turns.length ? this.#turns[end - 1].id : null;
  }
}
