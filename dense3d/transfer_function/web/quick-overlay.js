// The answer to a mark before WebGL has drawn it: scores of one slice on a canvas of a pixel a voxel.
//
// It covers what the WebGL picture below shows otherwise: the voxels whose class has changed or, where that
// picture shows another slice or no classes, all of them. Its colours are those of the slices' shader.

import { h } from "./dom.js";

/** Colour 0..255 of a share 0..1: dark blue, teal, amber, white. */
function heat(x) {
	const blue = 0.35 + 0.55 * x - (x >= 0.5 ? 0.9 * x * (1 - x) : 0);
	return [2.2 * x - 0.7, 1.5 * x - 0.05, blue].map(part => 255 * Math.min(1, Math.max(0, part)));
}

function smoothstep(low, high, x) {
	const t = Math.min(1, Math.max(0, (x - low) / (high - low)));
	return t * t * (3 - 2 * t);
}

/** Where the voxels of a slice lie in x-fastest data: number along u and v, first offset, steps along both. */
function layout({ u, v, axis }, shape, index) {
	const steps = [1, shape[0], shape[0] * shape[1]];
	return { width: shape[u], height: shape[v], first: index * steps[axis], u: steps[u], v: steps[v] };
}

export class QuickOverlay {
	constructor(plane, store, grid) {
		Object.assign(this, { plane, store, grid });
		this.canvas = h("canvas", { class: "quick", hidden: true, "aria-hidden": "true" });
		this.shown = null; // {index, winners} of what WebGL has drawn; winners null: not those of the scores
		this.facts = { drawn: 0 };
	}

	get index() {
		return this.grid.toWorking(this.store.view.crosshair)[this.plane.axis];
	}

	/** WebGL has drawn the slice as it is now. */
	clear() {
		this.canvas.hidden = true;
		this.shown = { index: this.index, winners: null };
	}

	/** Before scores change; stale: the WebGL picture is not the one of these scores. */
	remember(textures, stale) {
		if (!this.canvas.hidden) return; // that picture is still the same
		const { view } = this.store;
		const same = !stale && this.shown?.index === this.index && view.overlay.mode === "classes";
		this.shown = { index: this.index, winners: same ? this.resolve(textures).winners : null };
	}

	/** Number from 1 of the class of each voxel, 0 for none; its score, and the next one's that holds. */
	resolve(textures) {
		const { classes } = this.store;
		const place = layout(this.plane, this.grid.working, this.index);
		const count = place.width * place.height;
		const [winners, tops, seconds] = [new Uint8Array(count), new Uint8Array(count), new Uint8Array(count)];
		for (const [rank, item] of classes.entries()) {
			if (textures.classIds[item.slot] !== item.id) continue;
			const { data } = textures.groups[item.slot >> 2];
			const level = Math.trunc(255 * item.threshold);
			let at = 0;
			for (let j = 0; j < place.height; j++) {
				let from = 4 * (place.first + j * place.v) + (item.slot & 3);
				for (let i = 0; i < place.width; i++, at++, from += 4 * place.u) {
					const score = data[from];
					if (score <= level) continue;
					if (!winners[at] || score > tops[at]) {
						seconds[at] = tops[at];
						tops[at] = score;
						winners[at] = rank + 1;
					} else if (score > seconds[at]) seconds[at] = score;
				}
			}
		}
		return { winners, tops, seconds };
	}

	/** Show the scores as they are now in a pane of this size; no outlines, which come with the full picture. */
	draw(textures, size, camera) {
		const { canvas } = this;
		const place = layout(this.plane, this.grid.working, this.index);
		const { width, height } = place;
		if (canvas.width !== width || canvas.height !== height) {
			Object.assign(canvas, { width, height });
			this.context = canvas.getContext("2d", { willReadFrequently: true });
		}
		const found = this.resolve(textures);
		const before = this.shown.index === this.index ? this.shown.winners : null;
		const paint = this.painter(textures, found);
		const { view } = this.store;
		const span = Math.max(1e-6, view.window.high - view.window.low);
		const picture = this.context.createImageData(width, height);
		const { data } = picture;
		for (let j = 0, at = 0; j < height; j++) {
			for (let i = 0; i < width; i++, at++) {
				if (before && before[at] === found.winners[at]) continue;
				const voxel = place.first + i * place.u + j * place.v;
				const share = (textures.values[voxel] / 65535 - view.window.low) / span;
				// larger indices are further left, and further up
				const to = 4 * (width * (height - 1 - j) + width - 1 - i);
				paint(data, to, 255 * Math.min(1, Math.max(0, share)), at, voxel);
				data[to + 3] = 255;
			}
		}
		this.context.putImageData(picture, 0, 0);
		this.put(size, camera);
		this.facts.drawn += 1;
	}

	/** Writes the colour of a voxel of this grey into a picture. */
	painter(textures, { winners, tops, seconds }) {
		const { classes, view } = this.store;
		const { mode, opacity } = view.overlay;
		const mix = (data, to, grey, color, cover) => {
			for (let c = 0; c < 3; c++) data[to + c] = grey + (color[c] - grey) * cover;
		};
		const nothing = [0, 0, 0];
		if (mode === "classes") {
			const colors = [nothing, ...classes.map(item => item.color)];
			const covers = [0, ...classes.map(item => (item.visible && item.opacity >= 0.001 ? opacity : 0))];
			return (data, to, grey, at) => mix(data, to, grey, colors[winners[at]], covers[winners[at]]);
		}
		const heats = Array.from({ length: 256 }, (_, at) => heat(at / 255));
		if (mode === "score") {
			const slot = textures.classIds.indexOf(view.activeClass || -1);
			return (data, to, grey, at, voxel) => {
				const score = slot < 0 ? 0 : textures.groups[slot >> 2].data[4 * voxel + (slot & 3)];
				mix(data, to, grey, heats[score], opacity * smoothstep(0.02, 0.2, score / 255));
			};
		}
		const levels = [0, ...classes.map(item => Math.trunc(255 * item.threshold))];
		return (data, to, grey, at) => {
			const winner = winners[at];
			const margin = winner ? Math.max(0, tops[at] - Math.max(seconds[at], levels[winner])) / 255 : 1;
			const color = heats[Math.round(255 * Math.max(0, 1 - 2 * margin))];
			mix(data, to, grey, color, opacity * (1 - smoothstep(0.1, 0.5, margin)));
		};
	}

	/** Over the slice as WebGL draws it, without what a coarser grid's last voxels have beyond the volume. */
	put({ width, height }, camera) {
		const { shape, working, factors } = this.grid;
		const corner = place => camera.toScreen(place, width, height);
		const [left, top] = corner(working.map((count, axis) => count * factors[axis]));
		const [right, bottom] = corner([0, 0, 0]);
		const [x, y] = corner(shape);
		Object.assign(this.canvas.style, {
			left: `${left}px`,
			top: `${top}px`,
			width: `${right - left}px`,
			height: `${bottom - top}px`,
			clipPath: `inset(${Math.max(0, y - top)}px 0 0 ${Math.max(0, x - left)}px)`,
			imageRendering: this.store.view.overlay.smooth ? "auto" : "pixelated",
		});
		this.canvas.hidden = false;
	}
}
