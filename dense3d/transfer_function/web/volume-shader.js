// The 3D view's rays. Emission and absorption of the volume through its transfer function, and the surface of
// each class where a ray first enters it, front to back: the rule told in dense3d/transfer_function/rendering.py,
// after Engel, Sick, Ropinski (TVCG 2024), section on rendering.

import { sharedSource } from "./shaders.js";

export const volumeSource = groups => `#version 300 es
${sharedSource(groups)}
precision highp usampler3D;
in vec2 at;
out vec4 color; // premultiplied
uniform usampler3D occupancy; // distance in bricks to the next one with something in it; what is in it
uniform sampler2D transfer; // straight colour and opacity over the range of the volume, and gradients
uniform float rows, steepest; // of gradients, 1: they do not count; at the last row
uniform vec3 eye, forward, across, above; // millimetres from the middle of the box
uniform vec3 box, voxels, clip_low, clip_high;
uniform float step_length, unit_length; // millimetres: between samples; that the opacities stand for
uniform float volume_opacity, shading, seed;

const float BRICK = 8.0;
const float FULL = 0.98;

float hash(vec2 p) {
  vec3 q = fract(vec3(p.xyx) * 0.1031);
  q += dot(q, q.yzx + 33.33);
  return fract((q.x + q.y) * q.z);
}

int class_at(vec3 p, uint mask) {
  float top, second;
  return resolve(p, mask, top, second);
}

vec3 lit(vec3 rgb, vec3 normal, vec3 view) { // a lamp at the viewer's left shoulder
  vec3 lamp = normalize(-view + 0.35 * normalize(above) - 0.35 * normalize(across));
  float diffuse = max(dot(normal, lamp), 0.0);
  float shine = pow(max(dot(normal, normalize(lamp - view)), 0.0), 28.0);
  return rgb * (0.28 + 0.80 * diffuse) + 0.16 * shine;
}

vec3 value_gradient(vec3 p) {
  vec3 e = 1.0 / voxels;
  vec3 g = vec3(
    value_at(p + vec3(e.x, 0, 0)) - value_at(p - vec3(e.x, 0, 0)),
    value_at(p + vec3(0, e.y, 0)) - value_at(p - vec3(0, e.y, 0)),
    value_at(p + vec3(0, 0, e.z)) - value_at(p - vec3(0, 0, e.z)));
  return 0.5 * g * voxels / box; // per millimetre
}

vec3 score_gradient(int slot, vec3 p) {
  vec3 e = 1.4 / voxels;
  vec3 g = vec3(
    score_at(slot, p + vec3(e.x, 0, 0)) - score_at(slot, p - vec3(e.x, 0, 0)),
    score_at(slot, p + vec3(0, e.y, 0)) - score_at(slot, p - vec3(0, e.y, 0)),
    score_at(slot, p + vec3(0, 0, e.z)) - score_at(slot, p - vec3(0, 0, e.z)));
  return g * voxels / box;
}

void main() {
  color = vec4(0.0);
  vec2 s = at * 2.0 - 1.0;
  vec3 view = normalize(forward + s.x * across + s.y * above);
  vec3 o = eye / box + 0.5;
  vec3 d = view / box; // texture coordinates a millimetre
  d += vec3(lessThan(abs(d), vec3(1e-9))) * 1e-9;
  vec3 a = (clip_low - o) / d;
  vec3 b = (clip_high - o) / d;
  vec3 entries = min(a, b);
  vec3 exits = max(a, b);
  float near = max(max(entries.x, entries.y), max(entries.z, 0.0));
  float far = min(exits.x, min(exits.y, exits.z));
  if (far <= near) return;
  vec3 face = -sign(d) * vec3(equal(entries, vec3(near))); // normal of the side where the ray enters

  vec3 brick_size = BRICK / voxels;
  vec3 forwards = step(0.0, d);
  int before = -1;
  uint seen = 0u; // slots whose surface the ray has passed
  float last = near;
  float t = near + step_length * hash(gl_FragCoord.xy + seed);
  bool inside = true; // nothing lies between the entry and the first sample that is looked at
  for (int n = 0; n < 4096; n++) {
    if (t >= far) break;
    vec3 p = o + t * d;
    vec3 brick = floor(p / brick_size);
    uvec2 content = texelFetch(occupancy, ivec3(brick), 0).rg;
    uint empty = content.r;
    if (empty > 0u) { // to the end of the cube of empty bricks around, in whole steps
      vec3 side = (brick + mix(vec3(1.0) - float(empty), vec3(float(empty)), forwards)) * brick_size;
      vec3 leave = (side - o) / d;
      float jump = min(leave.x, min(leave.y, leave.z)) - t;
      t += step_length * max(1.0, ceil(jump / step_length));
      before = -1;
      inside = false;
      last = t - step_length;
      continue;
    }
    if ((content.g & 1u) != 0u) {
      float v = value_at(p);
      vec3 g = vec3(0.0);
      float row = 0.0;
      if (rows > 1.0) {
        g = value_gradient(p);
        row = min(length(g) / steepest, 1.0) * (rows - 1.0);
      }
      vec2 entry = vec2(v * (255.0 / 256.0) + 0.5 / 256.0, (row + 0.5) / rows);
      vec4 tint = textureLod(transfer, entry, 0.0);
      float alpha = tint.a * volume_opacity;
      if (alpha > 0.004) {
        alpha = 1.0 - pow(1.0 - min(alpha, 0.999), step_length / unit_length);
        vec3 rgb = tint.rgb;
        if (shading > 0.0) {
          if (rows == 1.0) g = value_gradient(p);
          float size = length(g);
          vec3 normal = g / max(size, 1e-6);
          normal *= -sign(dot(normal, view));
          rgb = mix(rgb, lit(rgb, normal, view), shading * smoothstep(0.0005, 0.004, size));
        }
        color += (1.0 - color.a) * alpha * vec4(rgb, 1.0);
      }
    }
${
	groups === 0
		? ""
		: `    int slot = content.g > 1u ? class_at(p, content.g >> 1) : -1;
    if (slot >= 0 && slot != before && (seen & (1u << uint(slot & 31))) == 0u && class_color[slot].a > 0.0) {
      float hit = t;
      vec3 normal = face;
      if (inside) hit = near;
      else {
        float out_there = last; // of the class: not yet
        for (int k = 0; k < 5; k++) {
          float middle = 0.5 * (out_there + hit);
          if (class_at(o + middle * d, 127u) == slot) hit = middle;
          else out_there = middle;
        }
        vec3 g = score_gradient(slot, o + hit * d);
        normal = length(g) > 1e-6 ? -normalize(g) : -view;
        if (dot(normal, view) > 0.0) normal = -normal;
      }
      seen |= 1u << uint(slot & 31);
      vec4 tint = class_color[slot];
      vec3 rgb = mix(tint.rgb, lit(tint.rgb, normal, view), shading);
      color += (1.0 - color.a) * tint.a * vec4(rgb, 1.0);
    }
    before = slot;`
}
    inside = false;
    if (color.a > FULL) { color /= color.a; break; }
    last = t;
    t += step_length;
  }
}`;

/** The picture of the rays, over a calm ground. */
export const SHOW = `#version 300 es
precision highp float;
in vec2 at;
out vec4 color;
uniform sampler2D picture;
void main() {
  float r = length((at - vec2(0.5, 0.55)) * vec2(1.0, 0.9));
  vec3 ground = mix(vec3(0.098, 0.118, 0.145), vec3(0.039, 0.051, 0.066), smoothstep(0.0, 0.75, r));
  vec4 rays = texture(picture, at);
  color = vec4(rays.rgb + (1.0 - rays.a) * ground, 1.0);
}`;
