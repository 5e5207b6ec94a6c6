// All environments of a run at once: one instanced mesh per body, environments side by side in a square.

import * as three from "/static/vendor/three.js";
import { makeMesh } from "/static/scene.js";

const HEAD_BYTES = 16;
const FINE = 0.4; // a hundred robots need fewer segments than one
const GAP = 1.15; // distance of two environments, in parts of the size of one
const HEIGHT = 0.7; // height of what is shown of an environment [m]
const IDLE = 0.5; // brightness of environments without a trial
// Colors of the outcomes of trials and of the chosen environment, and of their edges: one of both is seen on any ground.
export const SUCCEEDED = 0x5fd38d, FAILED = 0xff9090, CHOSEN = 0xffd166, EDGE = 0x05070a;
const LINE = 0.045, BORDER = 0.018; // widths of a line and of its edge, in parts of the size of an environment

export class Grid {
  constructor(description, units) {
    this.units = units;
    this.group = new three.Group();
    this.shapes = description.shapes.filter(({ kind }) => kind !== "plane");
    this.meshes = description.meshes;
    this.numBodies = description.bodies.length;
    this.pitch = GAP * this.extent();
    this.count = 0;
    this.flat = new three.MeshBasicMaterial({ vertexColors: true, side: three.DoubleSide });
    this.marker = new three.Mesh(ring(0.44, CHOSEN, this.pitch), this.flat);
    this.marker.visible = false;
    this.symbols = [ring(0.25, SUCCEEDED, this.pitch), cross(0.27, FAILED, this.pitch)];
    this.heads = [];
    this.outcome = () => undefined; // trial -> whether it succeeded; undefined if unknown
    this.isOver = false; // all environments are bright after the end of the run
  }

  // Side of the square that the scene of one environment needs [m], by what does not move.
  extent() {
    const reach = ({ pos, size }) => Math.max(Math.abs(pos[0]) + size[0], Math.abs(pos[1]) + (size[1] || size[0]));
    const still = this.shapes.filter(({ body }) => body < 0);
    return 2 * Math.min(1.2, Math.max(0.6, ...still.map(reach)));
  }

  // Make the meshes for a number of environments.
  build(count) {
    for (const mesh of this.instanced ?? []) mesh.dispose();
    this.group.clear();
    this.count = count;
    this.columns = Math.ceil(Math.sqrt(count));
    this.offsets = Array.from({ length: count }, (_, index) => this.place(index));
    this.instanced = [...this.groups()].map(([key, shapes]) => this.instances(Number(key.split(" ")[0]), shapes));
    const size = this.pitch * this.columns;
    const floor = new three.Mesh(new three.PlaneGeometry(4 * size, 4 * size), new three.MeshLambertMaterial({ color: 0x8f98a3 }));
    floor.position.z = -0.02 + Math.min(0, ...this.shapes.filter(({ body }) => body < 0).map(({ pos, size: half }) => pos[2] - (half[2] || 0)));
    for (const mesh of this.endings?.children ?? []) mesh.dispose();
    this.endings = new three.Group();
    for (const symbol of this.symbols) this.endings.add(new three.InstancedMesh(symbol, this.flat, count));
    for (const mesh of this.endings.children) mesh.frustumCulled = false;
    this.group.add(floor, ...this.instanced, this.endings, this.marker);
    this.center = new three.Vector3(0, 0, 0);
    this.radius = 0.52 * size + 0.15;
    const [rows, half] = [Math.ceil(count / this.columns), 0.5 * this.pitch];
    this.corners = [-1, 1].flatMap((x) => [-1, 1].flatMap((y) => [0, HEIGHT].map((z) => new three.Vector3(x * rows * half, y * this.columns * half, z))));
  }

  place(index) {
    const [row, column] = [Math.floor(index / this.columns), index % this.columns];
    const rows = Math.ceil(this.count / this.columns);
    return [this.pitch * ((rows - 1) / 2 - row), this.pitch * (column - (this.columns - 1) / 2)];
  }

  // Shapes that one mesh can draw: of one body, and opaque or not.
  groups() {
    const groups = new Map();
    for (const shape of this.shapes) {
      const key = `${shape.body} ${shape.color[3] < 1}`;
      groups.set(key, [...(groups.get(key) ?? []), shape]);
    }
    return groups;
  }

  instances(body, shapes) {
    const opacity = Math.min(...shapes.map(({ color }) => color[3]));
    const material = new three.MeshLambertMaterial({ vertexColors: true, transparent: opacity < 1, opacity });
    const mesh = new three.InstancedMesh(merged(shapes.map((shape) => makeMesh(shape, this.meshes, FINE))), material, this.count);
    mesh.userData.body = body;
    mesh.frustumCulled = false;
    const matrix = new three.Matrix4();
    this.offsets.forEach(([x, y], index) => mesh.setMatrixAt(index, matrix.makeTranslation(x, y, 0)));
    return mesh;
  }

  // Read a frame: sequence, n, B; then trial, step, whether it runs; then poses in whole units. Returns the heads.
  read(view) {
    const [count, numBodies] = [view.getUint32(4, true), view.getUint32(8, true)];
    if (numBodies !== this.numBodies) return [];
    const isNew = count !== this.count;
    if (isNew) this.build(count);
    const [posUnit, quatUnit] = this.units;
    const start = HEAD_BYTES + 12 * count;
    const [pos, quat, scale, matrix] = [new three.Vector3(), new three.Quaternion(), new three.Vector3(1, 1, 1), new three.Matrix4()];
    for (const mesh of this.instanced) {
      const { body } = mesh.userData;
      if (body < 0) continue;
      this.offsets.forEach(([x, y], index) => {
        const offset = start + 14 * (index * numBodies + body);
        const at = (part) => view.getInt16(offset + 2 * part, true);
        pos.set(x + posUnit * at(0), y + posUnit * at(1), posUnit * at(2));
        quat.set(quatUnit * at(3), quatUnit * at(4), quatUnit * at(5), quatUnit * at(6)).normalize();
        mesh.setMatrixAt(index, matrix.compose(pos, quat, scale));
      });
      mesh.instanceMatrix.needsUpdate = true;
    }
    const at = (index) => view.getInt32(HEAD_BYTES + 4 * index, true);
    this.heads = this.offsets.map((_, index) => ({ trial: at(3 * index), step: at(3 * index + 1), isActive: at(3 * index + 2) !== 0 }));
    this.shade();
    return isNew;
  }

  // Environments without a trial are darker, with a ring if their last trial succeeded, and a cross if it failed.
  shade() {
    const outcomes = this.heads.map(({ trial, isActive }) => (isActive ? undefined : this.outcome(trial)));
    const key = this.heads.map(({ isActive }, index) => `${Number(isActive)}${outcomes[index]}`).join("") + this.isOver;
    if (key === this.shaded && this.instanced?.[0]?.instanceColor) return;
    this.shaded = key;
    const [color, matrix] = [new three.Color(), new three.Matrix4()];
    for (const mesh of this.instanced ?? []) {
      this.heads.forEach(({ isActive }, index) => mesh.setColorAt(index, color.setScalar(isActive || this.isOver ? 1 : IDLE)));
      mesh.instanceColor.needsUpdate = true;
    }
    this.endings.children.forEach((mesh, kind) => {
      outcomes.forEach((hasSucceeded, index) => {
        const isShown = hasSucceeded === (kind === 0);
        mesh.setMatrixAt(index, matrix.makeScale(...Array(3).fill(Number(isShown))).setPosition(this.offsets[index][0] + 0.2, this.offsets[index][1], 0.004));
      });
      mesh.instanceMatrix.needsUpdate = true;
    });
  }

  // Mark an environment; null: none.
  mark(index) {
    this.marker.visible = index !== null && index < this.count;
    if (this.marker.visible) this.marker.position.set(this.offsets[index][0] + 0.2, this.offsets[index][1], 0.01);
  }

  // Environment under a point of the canvas, in [-1, 1]; null if there is none.
  pick(x, y, camera) {
    const ray = new three.Raycaster();
    ray.setFromCamera(new three.Vector2(x, y), camera);
    for (const mesh of this.instanced) mesh.computeBoundingSphere();
    const [hit] = ray.intersectObjects(this.instanced, false);
    return hit?.instanceId ?? null;
  }
}

// Line with a dark edge: `make` gives its geometry for a border [parts of the size of an environment]. The line is above its edge.
function bordered(make, color, pitch) {
  return merged([[EDGE, BORDER, 0], [color, 0, 0.004]].flatMap(([hex, border, z]) => make(border).map((geometry) => {
    const mesh = new three.Mesh(geometry.scale(pitch, pitch, 1), new three.MeshBasicMaterial({ color: hex }));
    mesh.position.z = z;
    return mesh;
  })));
}

const ring = (radius, color, pitch) => bordered((border) => [new three.RingGeometry(radius - 0.5 * LINE - border, radius + 0.5 * LINE + border, 48)], color, pitch);

const cross = (radius, color, pitch) => bordered((border) => [0.25, 0.75].map((turn) => new three.PlaneGeometry(2 * (radius + border), LINE + 2 * border).rotateZ(turn * Math.PI)), color, pitch);

// One geometry of several meshes, with their places and colors.
function merged(meshes) {
  const parts = meshes.map((mesh) => {
    mesh.updateMatrix();
    return [mesh.geometry.toNonIndexed().applyMatrix4(mesh.matrix), mesh.material.color];
  });
  const total = parts.reduce((sum, [geometry]) => sum + geometry.attributes.position.count, 0);
  const [position, normal, color] = [0, 1, 2].map(() => new Float32Array(3 * total));
  let start = 0;
  for (const [geometry, { r, g, b }] of parts) {
    position.set(geometry.attributes.position.array, start);
    normal.set(geometry.attributes.normal.array, start);
    for (let index = start; index < start + geometry.attributes.position.array.length; index += 3) color.set([r, g, b], index);
    start += geometry.attributes.position.array.length;
  }
  const result = new three.BufferGeometry();
  for (const [name, values] of Object.entries({ position, normal, color })) result.setAttribute(name, new three.BufferAttribute(values, 3));
  return result;
}
