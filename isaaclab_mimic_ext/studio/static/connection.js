// The websocket: messages with answers, frames with acknowledgements, and a new connection when it breaks.

export const NO_CONNECTION = "There is no connection to the studio.";
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4000;

// The key lets the server recognize this page when it connects again.
function pageKey() {
  let key = sessionStorage.getItem("page");
  if (!key) {
    key = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("page", key);
  }
  return key;
}

export class Connection {
  constructor(handlers) {
    this.handlers = handlers;
    this.waiting = new Map();
    this.number = 0;
    this.wait = FIRST_WAIT_MS;
    this.isOpen = false;
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/socket?page=${pageKey()}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.isOpen = true;
      this.wait = FIRST_WAIT_MS;
      this.handlers.opened();
    };
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = () => this.closed();
  }

  closed() {
    if (this.isOpen || this.wait === FIRST_WAIT_MS) {
      this.isOpen = false;
      for (const { reject } of this.waiting.values()) reject(new Error("The connection broke before the answer came; try again."));
      this.waiting.clear();
      this.handlers.closed();
    }
    setTimeout(() => this.openAgain(), this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT_MS);
  }

  // A websocket does not tell why it was refused. A new server has a new token, and refuses this page for good (403).
  async openAgain() {
    const answer = await fetch("/tabs.json").catch(() => null);
    if (answer?.status === 403) this.handlers.refused();
    else this.open();
  }

  receive(data) {
    if (typeof data !== "string") {
      this.tell({ ack: 1 });
      this.handlers.frame(new DataView(data));
      return;
    }
    const message = JSON.parse(data);
    if (!("answer" in message)) {
      this.handlers.event(message);
      return;
    }
    const asked = this.waiting.get(message.answer);
    this.waiting.delete(message.answer);
    if (asked && "error" in message) asked.reject(new Error(message.error));
    else if (asked) asked.resolve(message.value);
    else if ("error" in message) console.warn(message.error);
  }

  tell(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
  }

  ask(message) {
    if (!this.isOpen) return Promise.reject(new Error(`${NO_CONNECTION} Is its command still running in the terminal?`));
    this.number += 1;
    this.tell({ id: this.number, ...message });
    return new Promise((resolve, reject) => this.waiting.set(this.number, { resolve, reject }));
  }
}
