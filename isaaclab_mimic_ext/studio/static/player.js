// Shows a frame of a demo, in the scene or as camera images, and plays it. Frame 0 is the initial state, frame k the state before
// step k.

import { element, show } from "/static/elements.js";

const POSE_BYTES = 28;
const SPEEDS = [0.25, 0.5, 1, 2, 4];

export class Player {
  // `changed(frame)` is called when the frame changes.
  constructor(studio, changed) {
    this.studio = studio;
    this.changed = changed;
    this.poses = new Map();
    this.frame = 0;
    this.speed = 1;
    this.demo = null;
    this.pictures = element("div", { id: "pictures" });
    this.reason = element("p", { id: "demo_reason", class: "card" });
  }

  get last() {
    return this.demo?.num_steps ?? 0;
  }

  get isPlaying() {
    return Boolean(this.timer);
  }

  // Show a demo from its start, or the same demo at its frame.
  async open(demo, stepDt) {
    const isNew = this.demo?.demo !== demo.demo;
    this.demo = demo;
    this.stepDt = stepDt;
    if (isNew) {
      this.pause();
      this.frame = 0;
      this.images = demo.cameras.map((camera) => element("img", { alt: camera, "data-camera": camera, draggable: "false" }));
      this.pictures.replaceChildren(...this.images);
    }
    show(this.reason, demo.reason);
    this.reason.hidden = !demo.reason;
    this.pictures.hidden = !demo.cameras.length;
    if (demo.has_poses && this.studio.scene && !this.poses.has(demo.demo)) await this.load(demo.demo);
    if (this.demo?.demo === demo.demo) this.seek(this.frame);
  }

  async load(name) {
    try {
      this.poses.set(name, new DataView(await this.studio.load(`/mark/poses/${encodeURIComponent(name)}`)));
    } catch (error) {
      console.warn(error);
    }
  }

  // Forget the poses of a demo that may have changed.
  forget(name) {
    this.poses.delete(name);
    if (this.demo?.demo === name) this.demo = null;
  }

  seek(frame) {
    if (!this.demo) return;
    this.frame = Math.max(0, Math.min(this.last, frame));
    this.draw();
    this.changed(this.frame);
  }

  draw() {
    const poses = this.demo && this.poses.get(this.demo.demo);
    const { scene } = this.studio;
    if (poses && scene) scene.setPoses(poses, this.frame * scene.bodies.length * POSE_BYTES);
    const index = Math.min(this.frame, this.last - 1);
    for (const image of this.images ?? []) {
      image.src = `/mark/image/${encodeURIComponent(this.demo.demo)}/${encodeURIComponent(image.dataset.camera)}/${index}`;
    }
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.play();
  }

  play() {
    if (!this.demo) return;
    const from = this.frame >= this.last ? 0 : this.frame;
    const began = performance.now();
    const tick = () => {
      const frame = from + Math.floor(((performance.now() - began) / 1000 / this.stepDt) * this.speed);
      if (frame !== this.frame) this.seek(frame);
      if (this.frame >= this.last) this.pause();
      else this.timer = requestAnimationFrame(tick);
    };
    this.timer = requestAnimationFrame(tick);
    this.changed(this.frame);
  }

  pause() {
    cancelAnimationFrame(this.timer);
    this.timer = 0;
    this.changed(this.frame);
  }

  nextSpeed() {
    this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length];
    if (!this.isPlaying) return;
    this.pause();
    this.play();
  }
}
