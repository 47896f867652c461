// Where a ray of the 3D view ends: the voxel that a click there means.

import { dot } from "./vectors.js";

/**
 * Voxel of the working grid, or null. The ray ends at the first visible class, or where the volume's transfer
 * function has taken half of the light.
 *
 * view: of `orbit`; s, t: screen coordinates -1..1, t up.
 */
export function pick(view, s, t, store, grid, textures, table) {
	const direction = [0, 1, 2].map(i => view.forward[i] + s * view.across[i] + t * view.above[i]);
	const length = Math.sqrt(dot(direction, direction));
	const { low, high } = store.view.clip;
	let near = 0;
	let far = Infinity;
	const run = [];
	const start = [];
	for (let i = 0; i < 3; i++) {
		run[i] = direction[i] / length / grid.box[i];
		start[i] = view.eye[i] / grid.box[i] + 0.5;
		const a = (low[i] - start[i]) / run[i];
		const b = (high[i] - start[i]) / run[i];
		if (Number.isNaN(a) || Number.isNaN(b)) continue;
		near = Math.max(near, Math.min(a, b));
		far = Math.min(far, Math.max(a, b));
	}
	const step = 0.5 * Math.min(...grid.workingSpacing);
	const visible = found => found && found.item.visible && found.item.opacity > 0;
	let light = 1;
	for (let at = near + step / 2; at < far; at += step) {
		const voxel = [0, 1, 2].map(i => Math.floor((start[i] + at * run[i]) * grid.working[i]));
		if (voxel.some((value, i) => value < 0 || value >= grid.working[i])) continue;
		if (visible(textures.classAt(voxel, store.classes))) return voxel;
		const slope = table.rows > 1 ? slopeAt(voxel, grid, textures) : 0;
		const alpha = (table.opacity(textures.valueAt(voxel) >> 8, slope) / 255) * store.view.volumeOpacity;
		light *= Math.pow(1 - Math.min(alpha, 0.999), 0.5);
		if (light < 0.5) return voxel;
	}
	return null;
}

/** Gradient magnitude at a voxel, in shares of the range a millimetre. */
function slopeAt(voxel, grid, textures) {
	let squares = 0;
	for (let i = 0; i < 3; i++) {
		const [before, behind] = [-1, 1].map(step => {
			const place = [...voxel];
			place[i] = Math.min(grid.working[i] - 1, Math.max(0, voxel[i] + step));
			return textures.valueAt(place);
		});
		squares += ((behind - before) / (2 * 65535 * grid.workingSpacing[i])) ** 2;
	}
	return Math.sqrt(squares);
}
