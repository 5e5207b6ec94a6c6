// A SpaceMouse through WebHID: six axes move and turn the hand, the first button is the gripper, the second one pauses.

const FILTERS = [{ vendorId: 0x256f }, { vendorId: 0x046d, usagePage: 1, usage: 8 }]; // 3Dconnexion; Logitech, multi-axis controllers only
const FULL = 350; // value of an axis at full deflection
const DEAD_ZONE = 0.12;
const [TRANSLATION, ROTATION, BUTTONS] = [1, 2, 3]; // numbers of the reports
const ACTIONS = ["grip", "pause"];

export class SpaceMouse {
  // `moved` takes the values of `v` and `w` that the axes command, as `Input.pads`.
  constructor(moved, actions) {
    this.moved = moved;
    this.actions = actions;
    this.pressed = 0;
    this.release();
  }

  static get isAvailable() {
    return Boolean(navigator.hid);
  }

  release() {
    this.axes = [0, 0, 0, 0, 0, 0];
  }

  // Ask the person for the device; the browser allows this only after a click. Returns its name; "" without one.
  async connect() {
    const [device] = await navigator.hid.requestDevice({ filters: FILTERS });
    if (!device) return "";
    if (!device.opened) await device.open();
    device.addEventListener("inputreport", ({ reportId, data }) => this.read(reportId, data));
    navigator.hid.addEventListener("disconnect", (event) => event.device === device && this.move([0, 0, 0, 0, 0, 0]));
    return device.productName;
  }

  // Read a report: axes as 16-bit integers. Some models send all six axes in the first report.
  read(report, data) {
    if (report === BUTTONS) {
      this.press(data.getUint8(0));
      return;
    }
    const first = { [TRANSLATION]: 0, [ROTATION]: 3 }[report];
    if (first === undefined) return;
    const axes = [...this.axes];
    for (let index = 0; 2 * index + 1 < data.byteLength && first + index < 6; index += 1) axes[first + index] = data.getInt16(2 * index, true) / FULL;
    this.move(axes);
  }

  // Axes of the device: to the right, toward the person, down. Those of the page: to the right, away, up.
  move(axes) {
    const wasMoving = this.axes.some(beyond);
    this.axes = axes;
    if (!wasMoving && !axes.some(beyond)) return;
    const [x, y, z, rx, ry, rz] = axes.map((value) => (beyond(value) ? Math.max(-1, Math.min(1, value)) : 0));
    this.moved({ v: [x, -y, -z], w: [-rx, -ry, -rz] });
  }

  press(pressed) {
    ACTIONS.forEach((name, bit) => pressed & ~this.pressed & (1 << bit) && this.actions[name]());
    this.pressed = pressed;
  }
}

const beyond = (value) => Math.abs(value) >= DEAD_ZONE;
