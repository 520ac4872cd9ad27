/** Points of a scan as three.js draws them. */

import { BufferAttribute, BufferGeometry, GLSL3, Points, ShaderMaterial } from "three";

const VERTEX = /* glsl */ `
in vec4 tint;
uniform float size;      // pixels at 12 m
uniform float ratio;     // device pixels a CSS pixel
out vec3 color;
void main() {
  vec4 seen = modelViewMatrix * vec4(position, 1.0);
  gl_Position = projectionMatrix * seen;
  float near = clamp(12.0 / max(-seen.z, 0.1), 0.45, 4.0);
  gl_PointSize = max(1.0, ratio * size * near * (1.0 + 0.6 * tint.a));
  color = tint.rgb;
}`;

const FRAGMENT = /* glsl */ `
in vec3 color;
out vec4 shown;
void main() {
  vec2 at = gl_PointCoord - 0.5;
  if (dot(at, at) > 0.25) discard;
  shown = vec4(color, 1.0);
}`;

export class Cloud {
  readonly object: Points<BufferGeometry, ShaderMaterial>;
  private readonly geometry = new BufferGeometry();

  constructor() {
    const uniforms = { size: { value: 2.5 }, ratio: { value: 1 } };
    const material = new ShaderMaterial({ vertexShader: VERTEX, fragmentShader: FRAGMENT, glslVersion: GLSL3, uniforms });
    this.object = new Points(this.geometry, material);
    this.object.frustumCulled = false;
  }

  /** Takes points (N, 3) and colours (N, 4); the buffers of the graphics card are reused where they fit. */
  show(xyz: Float32Array, colors: Uint8Array): void {
    const position = this.geometry.getAttribute("position") as BufferAttribute | undefined;
    if (position === undefined || position.array.length < xyz.length) {
      this.geometry.dispose();
      this.geometry.setAttribute("position", new BufferAttribute(xyz.slice(), 3));
      this.geometry.setAttribute("tint", new BufferAttribute(colors.slice(), 4, true));
    } else {
      fill(position, xyz);
      fill(this.geometry.getAttribute("tint") as BufferAttribute, colors);
    }
    this.geometry.setDrawRange(0, xyz.length / 3);
  }

  style(size: number, ratio: number): void {
    this.object.material.uniforms.size.value = size;
    this.object.material.uniforms.ratio.value = ratio;
  }
}

function fill(attribute: BufferAttribute, values: Float32Array | Uint8Array): void {
  attribute.array.set(values);
  attribute.clearUpdateRanges();
  attribute.addUpdateRange(0, values.length);
  attribute.needsUpdate = true;
}
