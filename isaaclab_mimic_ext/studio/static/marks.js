// Marks of the demos, with undo and redo. The server checks and writes each change; a change that it refuses has no effect.

export const KINDS = ["term", "start"];

const copyOf = ({ term, start, leave_out: leaveOut }) => ({ term: { ...term }, start: { ...start }, leave_out: leaveOut });
const isSame = (a, b) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
const sorted = ({ term, start, leave_out: leaveOut }) => [Object.entries(term).sort(), Object.entries(start).sort(), leaveOut];

export class Marks {
  // `order` sends a message, and resolves to undefined if it was refused.
  constructor(order) {
    this.order = order;
    this.demos = new Map();
    this.revision = 0;
    this.done = [];
    this.undone = [];
    this.sending = Promise.resolve();
  }

  // Take over all marks of the server.
  takeOver(demos, revision) {
    this.demos = new Map(demos.map(({ name, marks }) => [name, marks]));
    this.revision = revision;
  }

  // Take over the marks of a demo, which this page or another one has changed.
  note(demo, marks, revision) {
    this.demos.set(demo, marks);
    this.revision = revision;
  }

  of(demo) {
    return this.demos.get(demo) ?? { term: {}, start: {}, leave_out: false };
  }

  step(demo, { kind, name }) {
    return this.of(demo)[kind][name] ?? null;
  }

  // Change marks of a demo: `change` gets a copy. Changes are sent one after the other.
  change(demo, change) {
    return this.queue(async () => {
      const [before, after] = [this.of(demo), copyOf(this.of(demo))];
      change(after);
      if (isSame(before, after) || !(await this.send(demo, after))) return false;
      this.done.push({ demo, before, after });
      this.undone = [];
      return true;
    });
  }

  // Set a mark, or remove it with `step` null.
  set(demo, { kind, name }, step) {
    return this.change(demo, (marks) => {
      if (step === null) delete marks[kind][name];
      else marks[kind][name] = step;
    });
  }

  // Take back the last change, or make it again. Resolves to the name of its demo.
  undo() {
    return this.move(this.done, this.undone, "before");
  }

  redo() {
    return this.move(this.undone, this.done, "after");
  }

  move(from, to, side) {
    return this.queue(async () => {
      const entry = from.at(-1);
      if (!entry || !(await this.send(entry.demo, entry[side]))) return null;
      to.push(from.pop());
      return entry.demo;
    });
  }

  queue(action) {
    this.sending = this.sending.then(action, action);
    return this.sending;
  }

  async send(demo, marks) {
    const answer = await this.order({ do: "set", demo, revision: this.revision, marks: copyOf(marks) });
    if (answer === undefined) return false;
    this.note(demo, marks, answer);
    return true;
  }
}
