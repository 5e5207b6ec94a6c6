// Draws the scene of a task: bodies at given poses, seen by a free camera and by the wrist camera.

import * as three from "/static/vendor/three.js";

three.Object3D.DEFAULT_UP.set(0, 0, 1);

const SKY = 0xb4bec8;
const FLOOR = 0x8f98a3;
const FAR = 20; // largest distance that is drawn [m]
const POSE_BYTES = 28;
const [WRIST_MARGIN, WRIST_EDGE] = [10, 2];
const EDGE = 0x12161c;
// Without a GPU, a drawing may take longer than the time between two states. The scene is then drawn with fewer pixels, because
// a page that is busy drawing reads the keys late.
export const LONGEST_DRAWING_MS = 70;
const LOWEST_RATIO = 0.35;
const [FITTING_ROUNDS, FILLED] = [20, 0.94]; // part of the picture that a stage fills
const REST_MS = 400; // time without a change after which the scene is drawn once with all pixels

// Views: direction from the scene to the camera. The first shows the hand from the front, three-quarter and raised.
export const VIEWS = [
  { name: "corner", direction: [0.72, -0.62, 0.62] },
  { name: "front", direction: [1, 0, 0.55] },
  { name: "side", direction: [0.05, -1, 0.45] },
  { name: "top", direction: [0.02, 0, 1], margin: 1.3 }, // what is high is near the camera
];

export class SceneView {
  constructor(canvas, description) {
    this.canvas = canvas;
    this.description = description;
    this.renderer = makeRenderer(canvas);
    this.scene = new three.Scene();
    this.scene.background = new three.Color(SKY);
    this.addLights();
    this.bodies = description.bodies.map((name) => this.added(new three.Group(), name));
    this.world = this.added(new three.Group(), "world");
    for (const shape of description.shapes) this.groupOf(shape.body).add(makeMesh(shape, description.meshes));
    this.camera = new three.PerspectiveCamera(45, 1, 0.02, FAR);
    this.scene.add(this.camera);
    this.controls = new three.OrbitControls(this.camera, canvas);
    this.controls.maxPolarAngle = 0.49 * Math.PI;
    this.controls.addEventListener("change", () => this.redraw());
    this.hands = description.hands.map((hand) => this.makeHand(hand));
    this.wrist = 0;
    this.showsWrist = false;
    this.isFitted = false;
    this.extras = [];
    this.stage = null;
    this.isNear = false; // whether only a part of the stage is shown
    this.longestMs = LONGEST_DRAWING_MS;
    this.ratio = this.highestRatio = this.renderer.getPixelRatio();
    this.restRatio = Math.min(window.devicePixelRatio, 2);
    this.cost = 0;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.resize();
  }

  added(group, name) {
    group.name = name;
    this.scene.add(group);
    return group;
  }

  groupOf(body) {
    return body < 0 ? this.world : this.bodies[body];
  }

  addLights() {
    this.scene.add(new three.HemisphereLight(0xffffff, 0x9a8f80, 1.9));
    const lamp = new three.DirectionalLight(0xffffff, 1.5);
    lamp.position.set(1.3, 0.9, 2.4);
    this.scene.add(lamp);
  }

  // Frame of the end effector, its wrist camera, and the point from which the plumb line falls.
  makeHand(hand) {
    const frame = new three.Group();
    frame.position.fromArray(hand.pos);
    frame.quaternion.fromArray(hand.quat);
    this.bodies[hand.body].add(frame);
    const found = this.description.cameras.find(({ name }) => name === hand.camera);
    const camera = found && new three.PerspectiveCamera(found.fovy, 1, 0.01, 10);
    if (camera) {
      camera.position.fromArray(found.pos);
      camera.quaternion.fromArray(found.quat);
      this.groupOf(found.body).add(camera);
    }
    return { ...hand, frame, camera };
  }

  // Poses (B, 7) float32 from a byte of a DataView: position and quaternion xyzw of each body.
  setPoses(view, offset) {
    this.bodies.forEach((body, index) => setPose(body, view, offset + POSE_BYTES * index));
    if (!this.isFitted) this.fit();
    this.redraw();
  }

  // Show a group instead of the bodies, or the bodies again (null). `stage`: its group, center and radius [m].
  present(stage) {
    if (this.stage) this.scene.remove(this.stage.group);
    this.stage = stage;
    for (const each of [this.world, ...this.bodies]) each.visible = !stage;
    this.isFitted = Boolean(stage);
    this.isNear = false;
    this.cost = 0;
    this.ratio = this.highestRatio;
    this.camera.far = stage ? 10 * stage.radius + FAR : FAR;
    this.camera.updateProjectionMatrix();
    if (stage) {
      this.scene.add(stage.group);
      [this.center, this.radius] = [stage.center, stage.radius];
      this.setView(0);
    }
    this.redraw();
  }

  // Look at all objects and hands, from the first view.
  fit() {
    this.isFitted = true;
    this.scene.updateMatrixWorld();
    const points = [...this.description.objects.map(({ body }) => this.bodies[body]), ...this.hands.map(({ frame }) => frame)].map(
      (object) => object.getWorldPosition(new three.Vector3()));
    const center = points.reduce((sum, point) => sum.add(point), new three.Vector3()).divideScalar(points.length);
    this.center = center.setZ(0.12);
    this.radius = Math.max(0.4, ...points.map((point) => point.distanceTo(center)));
    this.setView(0);
  }

  setView(index) {
    if (!this.isFitted) return;
    const { direction, margin = 1 } = VIEWS[index];
    if (this.stage?.corners && !this.isNear) {
      this.showCorners(new three.Vector3(...direction).normalize(), this.stage.corners);
      return;
    }
    const narrow = Math.max(1, 1.25 / this.camera.aspect);
    this.camera.position.copy(this.center).addScaledVector(new three.Vector3(...direction).normalize(), margin * (2.35 * this.radius * narrow + 0.25));
    this.controls.target.copy(this.center);
    this.controls.update();
    this.redraw();
  }

  // Look from a direction, so near that the corners of the stage just fill the picture.
  showCorners(direction, corners) {
    const { camera, controls } = this;
    const half = Math.tan((0.5 * camera.fov * Math.PI) / 180);
    let distance = 4 * this.radius;
    controls.target.copy(this.center);
    for (let round = 0; round < FITTING_ROUNDS; round += 1) {
      camera.position.copy(controls.target).addScaledVector(direction, distance);
      camera.lookAt(controls.target);
      camera.updateMatrixWorld();
      const seen = corners.map((corner) => corner.clone().project(camera));
      const [[left, right], [low, high]] = ["x", "y"].map((axis) => [Math.min(...seen.map((each) => each[axis])), Math.max(...seen.map((each) => each[axis]))]);
      const axis = (column) => new three.Vector3().setFromMatrixColumn(camera.matrixWorld, column);
      controls.target.addScaledVector(axis(0), 0.5 * (left + right) * distance * half * camera.aspect).addScaledVector(axis(1), 0.5 * (low + high) * distance * half);
      distance *= Math.max(right - left, high - low) / (2 * FILLED);
    }
    camera.position.copy(controls.target).addScaledVector(direction, distance);
    controls.update();
    this.redraw();
  }

  // Horizontal unit vectors as seen: forward is away from the viewer.
  directions() {
    this.camera.updateMatrixWorld();
    const right = new three.Vector3().setFromMatrixColumn(this.camera.matrixWorld, 0).setZ(0).normalize();
    return { right, forward: new three.Vector3(-right.y, right.x, 0) };
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.size = { width, height };
    this.canvas.parentElement.style.setProperty("--wrist", `${this.wristSide()}px`);
    this.redraw();
  }

  // Square of the wrist view in the upper right corner, in pixels of the page.
  wristSide() {
    return Math.round(Math.min(0.34 * this.size.height, 0.34 * this.size.width, 260));
  }

  redraw() {
    if (this.requested) return;
    this.requested = requestAnimationFrame(() => {
      this.requested = 0;
      this.draw();
    });
  }

  draw() {
    if (!this.size) return;
    this.beforeDrawing?.();
    const began = performance.now();
    requestAnimationFrame(() => this.adapt(performance.now() - began));
    this.drawWith(this.ratio);
    clearTimeout(this.resting);
    if (this.ratio < this.restRatio) this.resting = setTimeout(() => this.drawWith(this.restRatio), REST_MS);
  }

  drawWith(ratio) {
    const { renderer, size } = this;
    if (renderer.getPixelRatio() !== ratio) renderer.setPixelRatio(ratio);
    renderer.setScissorTest(false);
    renderer.setViewport(0, 0, size.width, size.height);
    renderer.render(this.scene, this.camera);
    const camera = this.showsWrist && this.hands[this.wrist]?.camera;
    if (camera) this.drawWrist(camera);
  }

  adapt(cost) {
    this.cost = 0.7 * this.cost + 0.3 * Math.min(cost, 3 * this.longestMs);
    if (this.cost < this.longestMs || this.ratio <= LOWEST_RATIO) return;
    this.cost = 0;
    this.ratio = Math.max(LOWEST_RATIO, 0.75 * this.ratio);
    this.redraw();
  }

  drawWrist(camera) {
    const side = this.wristSide();
    const [x, y] = [this.size.width - side - WRIST_MARGIN, this.size.height - side - WRIST_MARGIN];
    for (const extra of this.extras) extra.visible = false;
    this.renderer.setScissorTest(true);
    this.renderer.setScissor(x - WRIST_EDGE, y - WRIST_EDGE, side + 2 * WRIST_EDGE, side + 2 * WRIST_EDGE);
    this.renderer.setClearColor(EDGE);
    this.renderer.clear(true, false, false);
    this.renderer.setScissor(x, y, side, side);
    this.renderer.setViewport(x, y, side, side);
    this.renderer.render(this.scene, camera);
    for (const extra of this.extras) extra.visible = extra.userData.isShown ?? true;
  }
}

function setPose(object, view, offset) {
  const at = (index) => view.getFloat32(offset + 4 * index, true);
  object.position.set(at(0), at(1), at(2));
  object.quaternion.set(at(3), at(4), at(5), at(6));
}

export function readPose(view, offset) {
  const object = new three.Object3D();
  setPose(object, view, offset);
  return object;
}

// Without a GPU, smooth edges would take most of the time.
function makeRenderer(canvas) {
  const probe = document.createElement("canvas").getContext("webgl2");
  if (!probe) throw new Error("WebGL 2 is not available");
  const info = probe.getExtension("WEBGL_debug_renderer_info");
  const name = info ? probe.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
  probe.getExtension("WEBGL_lose_context")?.loseContext();
  const isSoftware = /swiftshader|llvmpipe|software/i.test(name);
  const renderer = new three.WebGLRenderer({ canvas, antialias: !isSoftware, powerPreference: "low-power" });
  renderer.setPixelRatio(isSoftware ? 1 : Math.min(window.devicePixelRatio, 2));
  renderer.autoClear = true;
  return renderer;
}

const upright = (geometry) => geometry.rotateX(0.5 * Math.PI); // three's axis is y, MuJoCo's is z

// `fine`: number of segments, in parts of that of a single scene.
const MAKERS = {
  box: ([x, y, z]) => new three.BoxGeometry(2 * x, 2 * y, 2 * z),
  sphere: ([radius], fine) => new three.SphereGeometry(radius, 20 * fine, 14 * fine),
  ellipsoid: ([x, y, z], fine) => new three.SphereGeometry(1, 20 * fine, 14 * fine).scale(x, y, z),
  cylinder: ([radius, half], fine) => upright(new three.CylinderGeometry(radius, radius, 2 * half, 24 * fine)),
  capsule: ([radius, half], fine) => upright(new three.CapsuleGeometry(radius, 2 * half, 6 * fine, 16 * fine)),
  plane: ([x, y]) => new three.PlaneGeometry(2 * (x || 5), 2 * (y || 5)),
};

export function makeMesh(shape, meshes, fine = 1) {
  const geometry = shape.kind === "mesh" ? meshGeometry(meshes[shape.mesh]) : MAKERS[shape.kind](shape.size, fine);
  const [red, green, blue, alpha] = shape.color;
  // Floors have textures, which are not sent.
  const color = shape.kind === "plane" ? new three.Color(FLOOR) : new three.Color().setRGB(red, green, blue, "srgb");
  const material = new three.MeshLambertMaterial({ color, opacity: alpha });
  material.transparent = alpha < 1;
  const mesh = new three.Mesh(geometry, material);
  mesh.position.fromArray(shape.pos);
  mesh.quaternion.fromArray(shape.quat);
  return mesh;
}

function meshGeometry({ vertices, faces }) {
  const geometry = new three.BufferGeometry();
  geometry.setAttribute("position", new three.BufferAttribute(new Float32Array(vertices), 3));
  geometry.setIndex(faces);
  geometry.computeVertexNormals();
  return geometry;
}
