// Commands of a person: held keys, a gamepad, touch pads and the handle in the scene become one absolute command.
// It is sent when it changes and every 100 ms, so that lost messages do no harm.

import { SpaceMouse } from "/static/spacemouse.js";
import { Quaternion, Vector3 } from "/static/vendor/three.js";

const HEARTBEAT_MS = 100;
const SHORTEST_MS = 33;
const DEAD_ZONE = 0.12;
const SLOW = 0.25;
// Places of the physical keys, so that other layouts work: [axis, sign]. Axes: right, forward, up.
const MOVES = {
  KeyW: ["v", 1, 1], KeyS: ["v", 1, -1], KeyD: ["v", 0, 1], KeyA: ["v", 0, -1], KeyQ: ["v", 2, 1], KeyE: ["v", 2, -1],
  KeyZ: ["w", 1, 1], KeyX: ["w", 1, -1], KeyT: ["w", 0, 1], KeyG: ["w", 0, -1], KeyC: ["w", 2, 1], KeyV: ["w", 2, -1],
};
const PAD_BUTTONS = { 0: "grip", 1: "rewind", 2: "pause", 3: "new" };

export class Input {
  // `actions`: name -> function, for keys that are pressed once; `scene` may be null.
  constructor(studio, actions) {
    this.studio = studio;
    this.actions = actions;
    this.keys = new Set();
    this.pads = { v: [0, 0, 0], w: [0, 0, 0] };
    this.handle = null; // the target pose of the handle, while the hand follows it
    this.slow = false; // switched on by the button of the touch pads
    this.gamepadSlow = false;
    this.hand = 0; // the selected hand, and the one that is shown while all hands move
    this.movesAll = false;
    this.grip = studio.description.hands.map(() => 1);
    this.epoch = -1;
    this.sequence = 0;
    this.frame = studio.scene ? "camera" : "robot";
    this.device = "keyboard";
    this.sentAt = 0;
    this.sent = "";
    this.padPressed = new Set();
    this.spaceMouse = new SpaceMouse((values) => this.isStarted && this.setPad(values, "spacemouse"), actions);
    this.listeners = [
      [window, "keydown", (event) => this.keyDown(event)],
      [window, "keyup", (event) => this.keyUp(event)],
      [window, "blur", () => this.release()],
      [document, "visibilitychange", () => this.release()],
    ];
  }

  start() {
    this.isStarted = true;
    for (const [target, kind, listener] of this.listeners) target.addEventListener(kind, listener);
    this.timer = setInterval(() => this.send(true), HEARTBEAT_MS);
    const poll = () => {
      this.polling = requestAnimationFrame(poll);
      this.readGamepad();
      this.send();
    };
    poll();
  }

  stop() {
    this.isStarted = false;
    for (const [target, kind, listener] of this.listeners) target.removeEventListener(kind, listener);
    clearInterval(this.timer);
    cancelAnimationFrame(this.polling);
    this.release();
  }

  // Take over the state of the server, after a new scene and after moving in time.
  takeOver(epoch, grippers) {
    if (epoch === this.epoch) return;
    this.epoch = epoch;
    this.grip = [...grippers];
    this.handle = null;
    this.send(true, true);
  }

  release() {
    this.keys.clear();
    this.spaceMouse.release();
    this.pads = { v: [0, 0, 0], w: [0, 0, 0] };
    this.handle = null;
    this.send(true, true);
  }

  keyDown(event) {
    const isTyping = event.target instanceof Element && event.target.matches("input:not([type=range]), textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping || document.querySelector("dialog[open]")) return;
    const isArmKey = event.code === "Tab" && this.grip.length > 1 && !event.shiftKey;
    const isMove = event.code in MOVES || event.code.startsWith("Shift");
    if (!isMove && !isArmKey && !(event.code in this.actions)) return;
    if (event.code === "Enter" && event.target instanceof HTMLButtonElement) return; // Enter presses the button in focus.
    if (event.code !== "Shift" && !event.code.startsWith("Shift")) event.preventDefault();
    if (isMove) {
      this.keys.add(event.code);
      this.handle = null;
      this.device = "keyboard";
      this.send();
    } else if (!event.repeat) {
      this.device = "keyboard";
      this.actions[event.code]();
    }
  }

  keyUp(event) {
    if (event.code === "Space") event.preventDefault(); // A button in focus is pressed when Space is released.
    if (this.keys.delete(event.code)) this.send(true, true); // The hand stops where the person stops it.
  }

  toggleGrip() {
    const grip = -this.grip[this.hand];
    this.grip = this.grip.map((each, index) => (this.movesAll || index === this.hand ? grip : each));
    this.send();
  }

  nextHand() {
    const isLast = this.hand === this.grip.length - 1;
    [this.hand, this.movesAll] = isLast || this.movesAll ? [0, isLast && !this.movesAll] : [this.hand + 1, false];
    this.handle = null;
    this.send();
  }

  readGamepad() {
    const gamepad = navigator.getGamepads?.().find((each) => each?.connected);
    if (!gamepad) return;
    const axis = (index) => {
      const value = gamepad.axes[index] ?? 0;
      return Math.abs(value) < DEAD_ZONE ? 0 : Math.sign(value) * (Math.abs(value) - DEAD_ZONE) / (1 - DEAD_ZONE);
    };
    const pressed = new Set(Object.keys(PAD_BUTTONS).filter((index) => gamepad.buttons[index]?.pressed));
    for (const index of pressed) if (!this.padPressed.has(index)) this.actions[PAD_BUTTONS[index]]?.();
    this.padPressed = pressed;
    const v = [axis(0), -axis(1), -axis(3)];
    const w = [0, 0, -axis(2)];
    const isUsed = [...v, ...w].some(Boolean);
    this.gamepadSlow = Boolean(gamepad.buttons[7]?.pressed || gamepad.buttons[6]?.pressed);
    if (isUsed || this.gamepadUsed) {
      this.pads = { v, w };
      this.device = "gamepad";
      if (isUsed) this.handle = null;
    }
    this.gamepadUsed = isUsed;
  }

  // Move a touch pad: values of `v` and `w` that it commands.
  setPad(values, device = "touch") {
    Object.assign(this.pads, values);
    this.handle = null;
    this.device = device;
    this.send();
  }

  // Right, forward and up, as seen or as the robot stands.
  axes() {
    const scene = this.studio.scene;
    const up = new Vector3(0, 0, 1);
    if (this.frame === "robot" || !scene) {
      const base = scene?.bodies[this.studio.description.hands[this.hand].base];
      const forward = new Vector3(1, 0, 0).applyQuaternion(base?.quaternion ?? new Quaternion());
      return [new Vector3(forward.y, -forward.x, 0), forward, up];
    }
    const { right, forward } = scene.directions();
    return [right, forward, up];
  }

  command() {
    const seen = { v: [0, 0, 0], w: [0, 0, 0] };
    for (const key of this.keys) {
      const move = MOVES[key];
      if (move) seen[move[0]][move[1]] += move[2];
    }
    for (const kind of ["v", "w"]) seen[kind] = normalized(seen[kind].map((value, axis) => value + this.pads[kind][axis]));
    const slow = this.slow || this.gamepadSlow || this.keys.has("ShiftLeft") || this.keys.has("ShiftRight") ? SLOW : 1;
    const axes = this.axes();
    const inEnv = ([right, forward, up]) =>
      new Vector3().addScaledVector(axes[0], right).addScaledVector(axes[1], forward).addScaledVector(axes[2], up).multiplyScalar(slow);
    // Turning forward is about the axis to the right, turning to the side about the axis to the front.
    const [v, w] = [inEnv(seen.v), inEnv([-seen.w[0], seen.w[1], seen.w[2]])];
    return this.handle && this.studio.scene ? this.towardsHandle() : { v: rounded(v), w: rounded(w) };
  }

  // Follow the handle: as fast as the distance asks for.
  towardsHandle() {
    const ghost = this.studio.scene.hands[this.hand].ghost;
    const distance = this.handle.position.clone().sub(ghost.position);
    const turn = rotationVector(this.handle.quaternion.clone().multiply(ghost.quaternion.clone().invert()));
    if (distance.length() < 0.002 && turn.length() < 0.01 && !this.handle.isHeld) this.handle = null;
    this.device = "gizmo";
    return { v: rounded(limited(distance.multiplyScalar(40))), w: rounded(limited(turn.multiplyScalar(10))) };
  }

  // Send the command if it has changed, or again if it is due. The server refuses more than 60 messages per second, so
  // only urgent changes are sent at once.
  send(isDue = false, isUrgent = false) {
    if (!this.studio.hasControl || this.epoch < 0) return;
    const now = performance.now();
    const command = { ...this.command(), grip: this.grip, hand: this.movesAll ? this.grip.length : this.hand, epoch: this.epoch, device: this.device };
    const text = JSON.stringify(command);
    const elapsed = now - this.sentAt;
    if (text === this.sent ? !isDue || elapsed < 0.8 * HEARTBEAT_MS : elapsed < SHORTEST_MS && !isUrgent) return;
    if (document.hidden && text === this.sent) return; // A hidden page must not keep an attempt alive.
    this.sent = text;
    this.sentAt = now;
    this.sequence += 1;
    this.studio.connection.tell({ tab: "record", in: { seq: this.sequence, ...command } });
  }
}

function normalized(values) {
  const length = Math.hypot(...values);
  return length > 1 ? values.map((value) => value / length) : values;
}

const limited = (vector) => vector.clampLength(0, 1);
const rounded = (vector) => vector.toArray().map((value) => Math.round(value * 1e4) / 1e4 || 0);

function rotationVector(quaternion) {
  const sign = quaternion.w < 0 ? -1 : 1;
  const axis = new Vector3(quaternion.x, quaternion.y, quaternion.z).multiplyScalar(sign);
  const sine = axis.length();
  return sine < 1e-6 ? new Vector3() : axis.multiplyScalar((2 * Math.atan2(sine, sign * quaternion.w)) / sine);
}
