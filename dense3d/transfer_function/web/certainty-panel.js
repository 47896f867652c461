// Where the classification is unsure: a histogram of the margins, and the way to the least certain place.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { section } from "./controls.js";
import { BRICK } from "./occupancy.js";

export class CertaintyPanel {
	constructor(store, app) {
		this.store = store;
		this.canvas = h("canvas", { class: "certainty", role: "img" });
		this.text = h("p", { class: "note" });
		this.element = section(
			"certainty",
			"Certainty",
			"How clearly each voxel belongs to its class",
			this.canvas,
			this.text,
			h(
				"button",
				{
					type: "button",
					class: "button",
					"data-tip": "Crosshair to the region with the smallest margin (U); mark it, and most is gained",
					onclick: () => app.goToUnsure(),
				},
				icon("target"),
				"Go to the least certain place",
			),
		);
		store.on("state", () => this.update());
		new ResizeObserver(() => this.update()).observe(this.canvas);
	}

	update() {
		const facts = this.store.server?.uncertainty;
		const width = this.canvas.clientWidth;
		const height = this.canvas.clientHeight;
		if (!width) return;
		const ratio = window.devicePixelRatio || 1;
		this.canvas.width = width * ratio;
		this.canvas.height = height * ratio;
		const context = this.canvas.getContext("2d");
		context.scale(ratio, ratio);
		if (!facts) {
			this.text.textContent = "Mark something first; then this tells where it is unsure.";
			return;
		}
		const { counts } = facts;
		const most = Math.log1p(Math.max(...counts, 1));
		const bar = width / counts.length;
		for (const [at, count] of counts.entries()) {
			const part = at / (counts.length - 1);
			context.fillStyle = part < 0.2 ? "#f2b263" : `rgba(92,200,215,${0.35 + 0.5 * part})`;
			const tall = (Math.log1p(count) / most) * (height - 4);
			context.fillRect(at * bar, height - tall, Math.max(1, bar - 1), tall);
		}
		this.text.textContent = `${(100 * facts.unsure).toFixed(1)} % of the voxels are unsure (amber).`;
		this.canvas.setAttribute(
			"aria-label",
			`Histogram of margins, unsure on the left. ${this.text.textContent}`,
		);
	}
}

/** Number of the brick that a voxel of the working grid lies in. */
export function brickAt(textures, voxel) {
	const [i, j, k] = voxel.map(value => Math.floor(value / BRICK));
	const { size } = textures.bricks;
	return i + size[0] * (j + size[1] * k);
}

/**
 * Voxel of the working grid in the middle of the brick that is least certain, or null.
 *
 * A brick counts by how many of its voxels have a class whose margin, to the threshold and to the next class,
 * is small; `visited` (bricks) are passed over, so that asking again leads on.
 */
export function leastCertain(textures, classes, visited) {
	const [x, y, z] = textures.shape;
	const { size } = textures.bricks;
	const known = classes.filter(item => textures.classIds[item.slot] === item.id);
	if (!known.length) return null;
	const sums = new Float32Array(textures.bricks.count);
	const maps = known.map(item => ({
		data: textures.groups[item.slot >> 2].data,
		c: item.slot & 3,
		floor: 255 * item.threshold,
	}));
	for (let k = 0; k < z; k += 2) {
		for (let j = 0; j < y; j += 2) {
			for (let i = 0; i < x; i += 2) {
				const at = 4 * (i + x * (j + y * k));
				let top = 0;
				let second = 0;
				let floor = 0;
				for (const map of maps) {
					const score = map.data[at + map.c];
					if (score > top) {
						second = top;
						top = score;
						floor = map.floor;
					} else if (score > second) second = score;
				}
				if (top < 26) continue;
				const margin = Math.min(Math.abs(top - floor), top - second);
				if (margin < 51) sums[(i >> 3) + size[0] * ((j >> 3) + size[1] * (k >> 3))] += 1 - margin / 51;
			}
		}
	}
	let best = -1;
	for (let b = 0; b < sums.length; b++)
		if (sums[b] > 0 && !visited.has(b) && (best < 0 || sums[b] > sums[best])) best = b;
	if (best < 0) return null;
	visited.add(best);
	const brick = [best % size[0], Math.floor(best / size[0]) % size[1], Math.floor(best / size[0] / size[1])];
	return brick.map((value, axis) => Math.min(textures.shape[axis] - 1, value * BRICK + BRICK / 2));
}
