// Parts of three.js that the page uses. Rebuild: see README.md in this folder.
export {
  AmbientLight, AxesHelper, BoxGeometry, BufferAttribute, BufferGeometry, CapsuleGeometry, CircleGeometry, Color,
  CylinderGeometry, DirectionalLight, DoubleSide, DynamicDrawUsage, Euler, Fog, GridHelper, Group, HemisphereLight,
  InstancedMesh, Line, LineBasicMaterial, LineDashedMaterial, LineSegments, Matrix4, Mesh, MeshBasicMaterial,
  MeshLambertMaterial, Object3D, PerspectiveCamera, Plane, PlaneGeometry, Quaternion, Raycaster, RingGeometry, Scene,
  SphereGeometry, Spherical, TorusGeometry, Vector2, Vector3, Vector4, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { TransformControls } from "three/addons/controls/TransformControls.js";
