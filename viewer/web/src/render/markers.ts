/** Seeds, marks and the point under the cursor, drawn over the scan. */

import { BufferAttribute, BufferGeometry, GLSL3, Points, ShaderMaterial } from "three";

export interface Marker {
  readonly at: readonly [number, number, number];
  readonly color: readonly [number, number, number];
  /** 0: ring, 1: disc, 2: cross. */
  readonly shape: number;
}

const VERTEX = /* glsl */ `
in vec4 tint;
uniform float ratio;
out vec3 color;
out float shape;
void main() {
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
  shape = tint.a * 255.0;
  gl_PointSize = ratio * (shape < 0.5 ? 22.0 : shape < 1.5 ? 9.0 : 20.0);
  color = tint.rgb;
}`;

const FRAGMENT = /* glsl */ `
in vec3 color;
in float shape;
out vec4 shown;
void main() {
  vec2 at = abs(gl_PointCoord - 0.5);
  float far = length(at);
  float edge;
  if (shape < 0.5) edge = abs(far - 0.36);
  else if (shape < 1.5) edge = max(0.0, far - 0.26);
  else edge = max(min(at.x, at.y), 0.12 - max(at.x, at.y));
  float ink = shape < 1.5 ? 0.07 : 0.05;
  if (far > 0.5 || edge > ink + 0.06) discard;
  shown = vec4(edge > ink ? vec3(0.0) : color, 1.0);
}`;

export class Markers {
  readonly object: Points<BufferGeometry, ShaderMaterial>;

  constructor() {
    const uniforms = { ratio: { value: 1 } };
    const material = new ShaderMaterial({ vertexShader: VERTEX, fragmentShader: FRAGMENT, glslVersion: GLSL3, uniforms, depthTest: false, transparent: true });
    this.object = new Points(new BufferGeometry(), material);
    this.object.frustumCulled = false;
    this.object.renderOrder = 2;
  }

  show(markers: readonly Marker[], ratio: number): void {
    this.object.material.uniforms.ratio.value = ratio;
    this.object.geometry.dispose();
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(Float32Array.from(markers.flatMap((m) => m.at)), 3));
    geometry.setAttribute("tint", new BufferAttribute(Uint8Array.from(markers.flatMap((m) => [...m.color, m.shape])), 4, true));
    this.object.geometry = geometry;
    this.object.visible = markers.length > 0;
  }
}
