/** The 3D part of the page: one camera, one or two panels beside each other, drawn only when something changed. */

import {
  BufferGeometry, Color, ColorManagement, Group, LinearSRGBColorSpace, LineBasicMaterial, LineLoop, PerspectiveCamera, Scene, Vector3, WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

import { toScreen, type Lens, type Pixel } from "../math/screen";
import type { Camera } from "../state/state";
import { Markers, type Marker } from "./markers";
import { Cloud } from "./points";
import { EyeDome } from "./shading";

ColorManagement.enabled = false; // colours are bytes of the screen from end to end

const NEAR = 0.2;
const FAR = 800;
const HOME: Camera = { position: [-17, -7, 13], target: [5, 0, -2] };
const RINGS = [10, 25, 50, 100];

export interface Style {
  readonly pointSize: number;
  readonly shading: boolean;
  readonly background: string;
  readonly lines: string;
}

export class Stage {
  readonly renderer: WebGLRenderer;
  readonly controls: OrbitControls;
  private readonly camera = new PerspectiveCamera(55, 1, NEAR, FAR);
  private readonly scenes: Scene[] = [new Scene(), new Scene()];
  private readonly clouds = [new Cloud(), new Cloud()];
  private readonly markers = new Markers();
  private readonly rings = new Group();
  private readonly dome = new EyeDome();
  private xyz: Float32Array = new Float32Array(0);
  private panels = 1;
  private style: Style = { pointSize: 2.5, shading: true, background: "#000", lines: "#444" };
  private asked = false;
  /** How long the last picture took to hand over, milliseconds, and how many there were. */
  drawn = { milliseconds: 0, count: 0 };

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({ canvas, antialias: false, powerPreference: "high-performance" });
    this.renderer.autoClear = false;
    this.renderer.outputColorSpace = LinearSRGBColorSpace;
    this.scenes.forEach((scene, i) => scene.add(this.clouds[i].object));
    for (const radius of RINGS) this.rings.add(ring(radius));
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.zoomToCursor = true;
    this.controls.maxDistance = 400;
    this.controls.addEventListener("change", () => this.request());
    this.look(HOME);
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("webglcontextrestored", () => this.request());
  }

  /** Points (N, 3) and a panel of colours (N, 4) for each model. */
  show(xyz: Float32Array, colors: readonly Uint8Array[]): void {
    if (xyz !== this.xyz) this.rings.position.z = groundOf(xyz);
    this.xyz = xyz;
    this.panels = colors.length;
    colors.forEach((c, i) => this.clouds[i].show(xyz, c));
    this.resize();
  }

  mark(markers: readonly Marker[]): void {
    this.markers.show(markers, this.renderer.getPixelRatio());
    this.request();
  }

  restyle(style: Style): void {
    this.style = style;
    const lines = new Color(style.lines);
    for (const line of this.rings.children) ((line as LineLoop).material as LineBasicMaterial).color = lines;
    this.request();
  }

  get view(): Camera {
    const round = (v: Vector3): [number, number, number] => [round3(v.x), round3(v.y), round3(v.z)];
    return { position: round(this.camera.position), target: round(this.controls.target) };
  }

  look(camera: Camera | null): void {
    const { position, target } = camera ?? HOME;
    this.camera.position.set(...position);
    this.controls.target.set(...target);
    this.controls.update();
    this.request();
  }

  /** Turns the camera around its target by an angle (radians) to the left, and upwards. */
  turn(left: number, up = 0): void {
    const arm = this.camera.position.clone().sub(this.controls.target);
    const [radius, around, height] = [arm.length(), Math.atan2(arm.y, arm.x) + left, Math.asin(arm.z / arm.length()) + up];
    const tilt = Math.max(-1.5, Math.min(1.5, height));
    arm.set(radius * Math.cos(tilt) * Math.cos(around), radius * Math.cos(tilt) * Math.sin(around), radius * Math.sin(tilt));
    this.camera.position.copy(this.controls.target).add(arm);
    this.controls.update();
    this.request();
  }

  /** Nearer (below 1) or farther. */
  zoom(factor: number): void {
    const arm = this.camera.position.clone().sub(this.controls.target).multiplyScalar(factor);
    this.camera.position.copy(this.controls.target).add(arm);
    this.controls.update();
    this.request();
  }

  /** Camera and target move along the view's ground directions, metres. */
  walk(ahead: number, left: number): void {
    const way = this.controls.target.clone().sub(this.camera.position).setZ(0).normalize();
    const step = new Vector3(way.x * ahead - way.y * left, way.y * ahead + way.x * left, 0);
    this.camera.position.add(step);
    this.controls.target.add(step);
    this.controls.update();
    this.request();
  }

  /** (N, 3) pixels of the points in a panel, and their depth. */
  screen(): Float32Array {
    return toScreen(this.xyz, this.lens());
  }

  /** Which panel a pixel of the canvas is in, and where in it. */
  inPanel(at: Pixel): Pixel {
    const { width } = this.lens();
    return { x: at.x % width, y: at.y };
  }

  lens(): Lens {
    this.camera.updateMatrixWorld();
    const matrix = this.camera.projectionMatrix.clone().multiply(this.camera.matrixWorldInverse).elements;
    return { matrix, width: this.canvas.clientWidth / this.panels, height: this.canvas.clientHeight };
  }

  /** Draws at the next opportunity. */
  request(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      if (this.asked) this.draw();
    });
  }

  draw(): void {
    this.asked = false;
    const started = performance.now();
    const ratio = this.renderer.getPixelRatio();
    for (const cloud of this.clouds) cloud.style(this.style.pointSize, ratio);
    this.renderer.setClearColor(this.style.background, 1);
    if (this.style.shading) this.dome.render(this.renderer, [NEAR, FAR], () => this.drawPanels(true));
    else this.drawPanels(true);
    this.drawPanels(false);
    this.drawn = { milliseconds: performance.now() - started, count: this.drawn.count + 1 };
  }

  /** The points, or what stands over them. */
  private drawPanels(points: boolean): void {
    const width = this.canvas.clientWidth / this.panels;
    const height = this.canvas.clientHeight;
    const inTarget = this.renderer.getRenderTarget() !== null;
    const ratio = inTarget ? this.renderer.getPixelRatio() : 1;
    for (let i = 0; i < this.panels; i++) {
      this.place(i * width, width, height, ratio);
      if (points) this.renderer.clear();
      this.clouds[i].object.visible = points;
      if (!points) this.scenes[i].add(this.markers.object, this.rings);
      this.renderer.render(this.scenes[i], this.camera);
      this.scenes[i].remove(this.markers.object, this.rings);
    }
    this.renderer.setScissorTest(false);
  }

  private place(left: number, width: number, height: number, ratio: number): void {
    const target = this.renderer.getRenderTarget();
    if (target !== null) {
      target.viewport.set(left * ratio, 0, width * ratio, height * ratio);
      target.scissor.set(left * ratio, 0, width * ratio, height * ratio);
      target.scissorTest = true;
      this.renderer.setRenderTarget(target);
      return;
    }
    this.renderer.setViewport(left, 0, width, height);
    this.renderer.setScissor(left, 0, width, height);
    this.renderer.setScissorTest(true);
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.canvas;
    if (clientWidth === 0 || clientHeight === 0) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.camera.aspect = clientWidth / this.panels / clientHeight;
    this.camera.updateProjectionMatrix();
    this.draw();
  }
}

function round3(x: number): number {
  return Math.round(1000 * x) / 1000;
}

function ring(radius: number): LineLoop {
  const around = Array.from({ length: 96 }, (_, i) => new Vector3(radius * Math.cos((i * Math.PI) / 48), radius * Math.sin((i * Math.PI) / 48), 0));
  const material = new LineBasicMaterial({ transparent: true, opacity: 0.35, depthWrite: false, depthTest: false });
  return new LineLoop(new BufferGeometry().setFromPoints(around), material);
}

/** Height of what most points near the sensor stand on: a tenth of them lies lower. */
function groundOf(xyz: Float32Array): number {
  const near: number[] = [];
  for (let i = 0; i < xyz.length; i += 3) if (Math.hypot(xyz[i], xyz[i + 1]) < 20) near.push(xyz[i + 2]);
  near.sort((a, b) => a - b);
  return near[Math.floor(near.length / 10)] ?? 0;
}
