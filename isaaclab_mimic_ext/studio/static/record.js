export class Tab {
  constructor(studio) { this.studio = studio; }
  show() { if (this.studio.scene) this.studio.scene.showsWrist = true; }
  hide() {}
  receive() {}
  frame(view) {
    const hands = this.studio.description.hands.length;
    this.studio.scene?.setPoses(view, 32 + 28 * hands);
  }
}
