// A slice: grey values through the window, classes laid over them.

import { Program } from "./gl.js";
import { setShared, sharedSource } from "./shaders.js";

export const MODES = { classes: 0, score: 1, unsure: 2 };

const source = groups => `#version 300 es
${sharedSource(groups)}
in vec2 at;
out vec4 color;
uniform vec3 origin, across, above; // texture coordinates of the pane's lower left corner and along its sides
uniform vec2 pixel; // 1 / size of the pane
uniform vec2 window; // low end and 1 / width, of 0..1
uniform vec3 size; // voxels
uniform float opacity, smooth_grey, outline;
uniform vec3 high; // last texture coordinate with voxels
uniform int mode, chosen; // what is laid over; slot of the active class

vec3 place(vec2 s) { return origin + s.x * across + s.y * above; }

vec3 heat(float x) { // dark blue, teal, amber, white
  float blue = 0.35 + 0.55 * x - 0.9 * x * (1.0 - x) * step(0.5, x);
  return clamp(vec3(2.2 * x - 0.7, 1.5 * x - 0.05, blue), 0.0, 1.0);
}

bool differs(int slot, vec2 aside) {
  float top, second;
  return resolve(place(at + aside), 127u, top, second) != slot;
}

void main() {
  vec3 p = place(at);
  if (any(lessThan(p, vec3(0.0))) || any(greaterThan(p, high))) {
    color = vec4(0.039, 0.051, 0.066, 1.0);
    return;
  }
  vec3 q = smooth_grey > 0.5 ? p : (floor(p * size) + 0.5) / size;
  vec3 grey = vec3(clamp((value_at(q) - window.x) * window.y, 0.0, 1.0));
  float top, second;
  int slot = opacity > 0.0 ? resolve(q, 127u, top, second) : -1;
  if (mode == 0) {
    if (slot >= 0) {
      vec4 tint = class_color[slot];
      float cover = opacity * step(0.001, tint.a);
      vec2 x = vec2(pixel.x, 0.0), y = vec2(0.0, pixel.y);
      if (outline > 0.5 && cover > 0.0 &&
          (differs(slot, x) || differs(slot, -x) || differs(slot, y) || differs(slot, -y))) {
        cover = min(0.95, cover + 0.4);
      }
      grey = mix(grey, tint.rgb, cover);
    }
  } else if (mode == 1) {
    float score = chosen < 0 ? 0.0 : score_at(chosen, q);
    grey = mix(grey, heat(score), opacity * smoothstep(0.02, 0.2, score));
  } else {
    float margin = slot < 0 ? 1.0 : clamp(top - max(second, class_threshold[slot / 4][slot % 4]), 0.0, 1.0);
    grey = mix(grey, heat(1.0 - 2.0 * margin), opacity * (1.0 - smoothstep(0.1, 0.5, margin)));
  }
  color = vec4(grey, 1.0);
}`;

export class SliceRenderer {
	constructor(gl) {
		this.gl = gl;
		this.programs = new Map();
	}

	/** area: in pixels of the canvas, y upwards; css: size of the pane; camera: SliceCamera. */
	draw(area, css, camera, store, grid, textures) {
		const { gl } = this;
		const groups = textures.groups.length;
		if (!this.programs.has(groups)) this.programs.set(groups, new Program(gl, source(groups)));
		const program = this.programs.get(groups).use();
		const { axis } = camera.plane;
		const { view } = store;
		// the middle of the voxel, where the scores of single slices lie
		const across = (grid.toWorking(view.crosshair)[axis] + 0.5) * grid.factors[axis];
		const corner = (x, y) => grid.toTexture(camera.toPlace(x, y, css.width, css.height, across));
		const origin = corner(0, css.height);
		const less = end => end.map((value, at) => value - origin[at]);
		const span = Math.max(1e-6, view.window.high - view.window.low);
		setShared(program, gl, textures, store.classes);
		program
			.set({
				origin,
				across: less(corner(css.width, css.height)),
				above: less(corner(0, 0)),
				pixel: [1 / area.width, 1 / area.height],
				window: [view.window.low, 1 / span],
				size: grid.working,
				high: grid.toTexture(grid.shape).map(value => Math.min(1, value)),
				opacity: view.overlay.on ? view.overlay.opacity : 0,
				smooth_grey: view.overlay.smooth,
				outline: view.overlay.outline,
			})
			.integer("mode", MODES[view.overlay.mode])
			.integer("chosen", textures.classIds.indexOf(view.activeClass || -1));
		gl.bindFramebuffer(gl.FRAMEBUFFER, null);
		gl.viewport(area.x, area.y, area.width, area.height);
		gl.scissor(area.x, area.y, area.width, area.height);
		program.draw();
	}
}
