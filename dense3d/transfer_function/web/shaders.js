// What the shaders of slices and of the 3D view share: values, scores and the rule that resolves classes.

/** Declarations for so many score textures (four classes each). */
export function sharedSource(groups) {
	const numbers = Array.from({ length: groups }, (_, at) => at);
	const slots = Math.max(4, 4 * groups);
	const pick = at => `  if ((mask & ${1 << Math.min(6, at)}u) != 0u) {
    vec4 s = textureLod(scores${at}, p, 0.0);
    bvec4 holds = greaterThan(s, class_threshold[${at}]);
    if (any(holds)) {
      s -= class_rank[${at}];
${["x", "y", "z", "w"].map((c, n) => `      if (holds.${c}) offer(s.${c}, ${4 * at + n}, best, top, second);`).join("\n")}
    }
  }`;
	return `
precision highp float;
precision highp int;
precision highp sampler3D;
uniform sampler3D volume;
${numbers.map(at => `uniform sampler3D scores${at};`).join("\n")}
uniform vec4 class_color[${slots}]; // opacity 0: hidden
uniform vec4 class_threshold[${slots / 4}]; // of the four slots of a group; 2: no class
uniform vec4 class_rank[${slots / 4}]; // next to nothing, in the order of the classes: the first of equals holds

float value_at(vec3 p) {
  vec2 bytes = textureLod(volume, p, 0.0).rg;
  return (bytes.r * 255.0 + bytes.g * 65280.0) / 65535.0;
}

void offer(float score, int slot, inout int best, inout float top, inout float second) {
  if (score > top) { second = max(second, top); top = score; best = slot; }
  else second = max(second, score);
}

// Slot of the class at p, -1 where none holds; its score, and the next one's. Only of the groups in the mask.
int resolve(vec3 p, uint mask, out float top, out float second) {
  int best = -1;
  top = -1.0;
  second = 0.0;
${numbers.map(pick).join("\n")}
  second = max(second, 0.0);
  return best;
}

float score_at(int slot, vec3 p) {
${numbers
	.map(at => `  if (slot < ${4 * at + 4}) return textureLod(scores${at}, p, 0.0)[slot - ${4 * at}];`)
	.join("\n")}
  return 0.0;
}
`;
}

/** Set what the shared declarations name. */
export function setShared(program, gl, textures, classes) {
	const slots = Math.max(4, 4 * textures.groups.length);
	const colors = new Float32Array(4 * slots);
	const thresholds = new Float32Array(slots).fill(2);
	const ranks = new Float32Array(slots);
	for (const [rank, item] of classes.entries()) {
		if (textures.classIds[item.slot] !== item.id) continue;
		colors.set(
			item.color.map(part => part / 255),
			4 * item.slot,
		);
		colors[4 * item.slot + 3] = item.visible ? item.opacity : 0;
		// a little above, so that rounding makes no class of a score that equals the threshold
		thresholds[item.slot] = (Math.trunc(255 * item.threshold) + 0.01) / 255;
		ranks[item.slot] = rank * 1e-5;
	}
	program.texture("volume", gl.TEXTURE_3D, textures.volume);
	for (const [at, group] of textures.groups.entries()) {
		program.texture(`scores${at}`, gl.TEXTURE_3D, group.texture);
	}
	program.list("class_color", 4, colors).list("class_threshold", 4, thresholds).list("class_rank", 4, ranks);
}
