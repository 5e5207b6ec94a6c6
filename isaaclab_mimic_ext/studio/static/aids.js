// Aids in the scene for a person who moves a hand: its target, a plumb line, and a handle to drag.

import * as three from "/static/vendor/three.js";
import { readPose } from "/static/scene.js";

const GHOST = 0x00c2a8;
const LINE = 0xd7263d;
const SHOWN_FROM = 0.006; // distance of the target from the hand at which it is drawn [m]
const BEHIND_FROM = 0.035; // distance of the target from a hand that cannot follow [m]; at full speed, a free hand is nearer

export class Aids {
  constructor(scene) {
    this.scene = scene;
    for (const hand of scene.hands) hand.ghost = this.makeGhost(hand);
    this.obstacles = this.findObstacles();
    this.line = this.extra(new three.Line(new three.BufferGeometry(), new three.LineBasicMaterial({ color: LINE })));
    this.line.geometry.setAttribute("position", new three.BufferAttribute(new Float32Array(6), 3));
    this.line.frustumCulled = false;
    const ring = new three.MeshBasicMaterial({ color: LINE, side: three.DoubleSide });
    this.ring = this.extra(new three.Mesh(new three.RingGeometry(0.012, 0.016, 24), ring));
    this.ray = new three.Raycaster();
    this.handle = null;
  }

  extra(object) {
    this.scene.scene.add(object);
    this.scene.extras.push(object);
    return object;
  }

  // Take the aids out of the scene while another tab shows it, and put them back.
  setShown(isShown) {
    if (!isShown) this.hidden = this.scene.extras.splice(0);
    for (const each of this.hidden ?? []) this.scene.scene[isShown ? "add" : "remove"](each);
    if (isShown) this.scene.extras.push(...(this.hidden ?? []).splice(0));
  }

  // A translucent copy of the hand and its fingers, in the frame of the end effector.
  makeGhost(hand) {
    const scene = this.scene;
    const material = new three.MeshBasicMaterial({ color: GHOST, transparent: true, opacity: 0.45, depthWrite: false });
    const ghost = this.extra(new three.Group());
    const inverse = new three.Matrix4().compose(hand.frame.position, hand.frame.quaternion, new three.Vector3(1, 1, 1)).invert();
    for (const child of scene.bodies[hand.body].children) {
      if (!child.isMesh) continue;
      const copy = new three.Mesh(child.geometry, material);
      copy.applyMatrix4(child.matrix.compose(child.position, child.quaternion, child.scale).clone().premultiply(inverse));
      ghost.add(copy);
    }
    ghost.userData.isShown = false;
    return ghost;
  }

  // All shapes below a hand: everything but the arms.
  findObstacles() {
    const arms = this.scene.hands.map(({ arm }) => `${arm}/`);
    const bodies = this.scene.bodies.filter(({ name }) => !arms.some((arm) => name.startsWith(arm)));
    return [this.scene.world, ...bodies].flatMap((body) => body.children.filter((child) => child.isMesh));
  }

  // Read the targets of all hands from a frame.
  readTargets(view, offset) {
    this.scene.hands.forEach((hand, index) => {
      const pose = readPose(view, offset + 28 * index);
      hand.ghost.position.copy(pose.position);
      hand.ghost.quaternion.copy(pose.quaternion);
    });
  }

  // Place everything after the bodies have moved. Returns the distance to what is below the hand, and its name.
  update(selected) {
    this.scene.scene.updateMatrixWorld();
    for (const hand of this.scene.hands) {
      const at = hand.frame.getWorldPosition(new three.Vector3());
      hand.ghost.userData.isShown = hand.ghost.visible = at.distanceTo(hand.ghost.position) > SHOWN_FROM;
    }
    if (this.handle && !this.control.dragging) this.placeHandle(selected);
    return this.drop(this.scene.hands[selected].frame.getWorldPosition(new three.Vector3()));
  }

  isBehind(selected) {
    const hand = this.scene.hands[selected];
    return hand.frame.getWorldPosition(new three.Vector3()).distanceTo(hand.ghost.position) > BEHIND_FROM;
  }

  drop(from) {
    this.ray.set(from, new three.Vector3(0, 0, -1));
    const [hit] = this.ray.intersectObjects(this.obstacles, false);
    const to = hit ? hit.point : from.clone().setZ(0);
    const position = this.line.geometry.attributes.position;
    position.setXYZ(0, from.x, from.y, from.z);
    position.setXYZ(1, to.x, to.y, to.z);
    position.needsUpdate = true;
    this.ring.position.copy(to).z += 0.002;
    const name = hit && hit.object.parent !== this.scene.world ? hit.object.parent.name : "table";
    return { name, height: from.z - to.z };
  }

  // Show or remove the handle. `follow` is called with its pose while it is dragged.
  toggleHandle(selected, follow) {
    if (this.handle) {
      this.control.dispose();
      this.scene.scene.remove(this.control.getHelper(), this.handle);
      this.scene.extras = this.scene.extras.filter((each) => each !== this.control.getHelper());
      this.handle = null;
      this.scene.redraw();
      return false;
    }
    this.handle = new three.Object3D();
    this.scene.scene.add(this.handle);
    this.control = new three.TransformControls(this.scene.camera, this.scene.canvas);
    this.control.setSize(0.8);
    this.control.attach(this.handle);
    this.extra(this.control.getHelper());
    this.control.addEventListener("change", () => this.scene.redraw());
    this.control.addEventListener("dragging-changed", ({ value }) => {
      this.scene.controls.enabled = !value;
      const { position, quaternion } = value ? this.handle : this.handle.clone(); // The released handle returns to the hand.
      follow({ position, quaternion, isHeld: value });
    });
    this.placeHandle(selected);
    this.scene.redraw();
    return true;
  }

  // Switch the handle between moving and turning.
  turnHandle() {
    this.control?.setMode(this.control.mode === "translate" ? "rotate" : "translate");
  }

  placeHandle(selected) {
    const ghost = this.scene.hands[selected].ghost;
    this.handle.position.copy(ghost.position);
    this.handle.quaternion.copy(ghost.quaternion);
  }
}
