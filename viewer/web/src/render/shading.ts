/**
 * Eye-dome lighting: a pixel is darkened by how much its neighbours stand before it, so that shapes show
 * without normals (Boucheny, "Interactive scientific visualization of large datasets", 2009).
 */

import {
  DepthTexture, FloatType, GLSL3, Mesh, NearestFilter, OrthographicCamera, PlaneGeometry, Scene, ShaderMaterial, Vector2, WebGLRenderTarget,
  type WebGLRenderer,
} from "three";

const VERTEX = /* glsl */ `
out vec2 place;
void main() {
  place = uv;
  gl_Position = vec4(position.xy, 0.0, 1.0);
}`;

const FRAGMENT = /* glsl */ `
in vec2 place;
out vec4 shown;
uniform sampler2D colors;
uniform sampler2D depths;
uniform vec2 pixel;
uniform vec2 clip;       // near, far
float logDepth(vec2 at) {
  float d = texture(depths, at).r;
  float metres = clip.x * clip.y / (clip.y - d * (clip.y - clip.x));
  return log2(metres);
}
void main() {
  vec4 color = texture(colors, place);
  float own = logDepth(place);
  float sum = 0.0;
  for (int i = 0; i < 8; i++) {
    float a = 0.7853981634 * float(i);
    sum += max(0.0, own - logDepth(place + 1.6 * pixel * vec2(cos(a), sin(a))));
  }
  bool point = texture(depths, place).r < 1.0;
  shown = vec4(color.rgb * (point ? exp(-1.1 * min(sum, 2.0)) : 1.0), 1.0);
}`;

export class EyeDome {
  private readonly target: WebGLRenderTarget;
  private readonly material: ShaderMaterial;
  private readonly scene = new Scene();
  private readonly camera = new OrthographicCamera();

  constructor() {
    this.target = new WebGLRenderTarget(1, 1, { depthTexture: new DepthTexture(1, 1, FloatType), minFilter: NearestFilter, magFilter: NearestFilter });
    const uniforms = {
      colors: { value: this.target.texture },
      depths: { value: this.target.depthTexture },
      pixel: { value: new Vector2() },
      clip: { value: new Vector2() },
    };
    this.material = new ShaderMaterial({ vertexShader: VERTEX, fragmentShader: FRAGMENT, glslVersion: GLSL3, uniforms, depthTest: false, depthWrite: false });
    this.scene.add(new Mesh(new PlaneGeometry(2, 2), this.material));
  }

  /** Draws by `draw` into a picture of its own, then that picture, shaded, on the screen. */
  render(renderer: WebGLRenderer, clip: readonly [number, number], draw: () => void): void {
    const size = renderer.getDrawingBufferSize(new Vector2());
    if (size.x !== this.target.width || size.y !== this.target.height) this.target.setSize(size.x, size.y);
    this.material.uniforms.pixel.value.set(1 / size.x, 1 / size.y);
    this.material.uniforms.clip.value.set(...clip);
    renderer.setRenderTarget(this.target);
    draw();
    renderer.setRenderTarget(null);
    renderer.setScissorTest(false);
    const { x, y } = renderer.getSize(new Vector2());
    renderer.setViewport(0, 0, x, y);
    renderer.render(this.scene, this.camera);
  }
}
