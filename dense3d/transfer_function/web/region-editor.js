// Editor of a 2D transfer function: boxes over a picture of how many voxels have a value and a gradient.

import { ask } from "./connection.js";
import { clamp, css, figure, fromHex, h, toHex } from "./dom.js";
import { slider } from "./controls.js";
import { UNBOUNDED } from "./regions.js";

const NEAR = 7; // pixels from an edge within which it is meant
const COLORS = [
	[236, 206, 160],
	[210, 92, 76],
	[120, 190, 220],
	[150, 210, 130],
];

export class RegionEditor {
	/** onChange(regions, finished) */
	constructor(store, onChange) {
		Object.assign(this, { store, onChange });
		this.regions = [];
		this.chosen = 0;
		this.canvas = h("canvas", {
			class: "transfer",
			tabIndex: 0,
			role: "application",
			"aria-label":
				"Boxes of values (sideways) and gradients (upwards). Arrow keys move the chosen box, Delete removes it",
			"data-tip": "Drag boxes or their edges; double click adds one, right click or Delete removes one",
		});
		this.color = h("input", {
			type: "color",
			class: "swatch",
			"aria-label": "Colour of the box",
			"data-tip": "Colour of the chosen box",
			oninput: () => this.edit({ color: fromHex(this.color.value) }, false),
			onchange: () => this.onChange(this.regions, true),
		});
		this.opacity = slider({
			label: "Density",
			tip: "Of the chosen box",
			min: 0,
			max: 1,
			step: 0.01,
			value: 0.3,
			format: value => `${Math.round(100 * value)} %`,
			onInput: opacity => this.edit({ opacity }),
		});
		this.value = h("span", { class: "note" });
		this.element = h(
			"div",
			{ class: "transfer-box" },
			this.canvas,
			h("div", { class: "line" }, this.color, this.value),
			this.opacity,
		);
		this.listen();
		new ResizeObserver(() => this.draw()).observe(this.canvas);
	}

	/** The picture behind the boxes, asked for when it is first seen. */
	async load() {
		if (this.ends) return;
		const answer = await ask("/api/histogram");
		const [width, height] = answer.headers.get("X-Shape").split(" ").map(Number);
		const [low, high, steepest] = answer.headers.get("X-Range").split(" ").map(Number);
		const grey = new Uint8Array(await answer.arrayBuffer());
		const picture = new ImageData(width, height);
		for (const [at, value] of grey.entries()) picture.data.set([143, 158, 176, 0.85 * value], 4 * at);
		this.picture = await createImageBitmap(picture);
		this.ends = { low, high, steepest };
		this.draw();
	}

	put(regions) {
		this.regions = regions;
		this.chosen = clamp(this.chosen, 0, Math.max(0, regions.length - 1));
		this.draw();
	}

	/** A box to begin with: what is steep in the upper half of the values, such as surfaces. */
	get first() {
		const { low, high, steepest } = this.ends;
		const values = [low + 0.3 * (high - low), high];
		return { values, slopes: [0.25 * steepest, UNBOUNDED], color: COLORS[0], opacity: 0.3 };
	}

	/** [left, top, right, bottom] in pixels. */
	toScreen({ values, slopes }) {
		const { low, high, steepest } = this.ends;
		const { clientWidth: width, clientHeight: height } = this.canvas;
		const x = value => (clamp((value - low) / (high - low || 1), 0, 1) * width) | 0;
		const y = slope => ((1 - clamp(slope / steepest, 0, 1)) * height) | 0;
		return [x(values[0]), y(slopes[1]), x(values[1]), y(slopes[0])];
	}

	/** What a point takes hold of: {at, left, right, top, bottom}, or null; the box on top first. */
	hold(x, y) {
		for (const at of [this.chosen, ...this.regions.keys()].filter(one => this.regions[one])) {
			const [left, top, right, bottom] = this.toScreen(this.regions[at]);
			if (x < left - NEAR || x > right + NEAR || y < top - NEAR || y > bottom + NEAR) continue;
			const near = (a, b) => Math.abs(a - b) < NEAR;
			const held = { at, left: near(x, left), right: near(x, right), top: near(y, top) };
			held.bottom = near(y, bottom) && !held.top;
			if (held.left && held.right) held.left = false;
			held.whole = !(held.left || held.right || held.top || held.bottom);
			return held;
		}
		return null;
	}

	edit(fields, finished = true) {
		if (!this.regions[this.chosen]) return;
		this.regions = this.regions.map((one, at) => (at === this.chosen ? { ...one, ...fields } : one));
		this.draw();
		this.onChange(this.regions, finished);
	}

	/** Move the edges that are held by shares of the picture. */
	shift(held, { values, slopes }, right, up, finished = false) {
		const { low, high, steepest } = this.ends;
		const byValue = right * (high - low);
		const bySlope = up * steepest;
		const moved = [...values];
		if (held.left || held.whole) moved[0] = Math.min(values[0] + byValue, held.whole ? high : values[1]);
		if (held.right || held.whole) moved[1] = Math.max(values[1] + byValue, held.whole ? low : values[0]);
		const steep = [...slopes];
		const open = slopes[1] >= UNBOUNDED;
		if (held.bottom || held.whole) steep[0] = Math.max(0, slopes[0] + bySlope);
		if (held.top || (held.whole && !open)) steep[1] = Math.max(steep[0], Math.min(slopes[1], steepest) + bySlope);
		if (steep[1] >= steepest) steep[1] = UNBOUNDED; // the upper edge has no bound
		steep[0] = Math.min(steep[0], steep[1], 0.98 * steepest);
		this.edit({ values: moved, slopes: steep }, finished);
	}

	add(x, y) {
		const { low, high, steepest } = this.ends;
		const value = low + x * (high - low);
		const slope = (1 - y) * steepest;
		const made = {
			values: [value - 0.1 * (high - low), value + 0.1 * (high - low)],
			slopes: [Math.max(0, slope - 0.15 * steepest), Math.min(steepest, slope + 0.15 * steepest)],
			color: COLORS[this.regions.length % COLORS.length],
			opacity: 0.3,
		};
		if (this.regions.length >= 16) return;
		this.regions = [...this.regions, made];
		this.chosen = this.regions.length - 1;
		this.draw();
		this.onChange(this.regions, true);
	}

	remove(at) {
		if (!this.regions[at] || this.regions.length < 2) return;
		this.regions = this.regions.filter((_, n) => n !== at);
		this.put(this.regions);
		this.onChange(this.regions, true);
	}

	listen() {
		const { canvas } = this;
		let held = null;
		let start = null;
		canvas.addEventListener("contextmenu", event => event.preventDefault());
		canvas.addEventListener("pointerdown", event => {
			const found = this.ends && this.hold(event.offsetX, event.offsetY);
			if (!found) return;
			if (event.button === 2) {
				this.remove(found.at);
				return;
			}
			this.chosen = found.at;
			held = found;
			start = { x: event.offsetX, y: event.offsetY, box: this.regions[found.at] };
			canvas.setPointerCapture(event.pointerId);
			this.draw();
		});
		canvas.addEventListener("pointermove", event => {
			if (!held) return;
			const right = (event.offsetX - start.x) / canvas.clientWidth;
			this.shift(held, start.box, right, (start.y - event.offsetY) / canvas.clientHeight);
		});
		canvas.addEventListener("pointerup", () => {
			if (held) this.onChange(this.regions, true);
			held = null;
		});
		canvas.addEventListener("dblclick", event => {
			if (!this.ends || this.hold(event.offsetX, event.offsetY)) return;
			this.add(event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight);
		});
		canvas.addEventListener("keydown", event => {
			const box = this.regions[this.chosen];
			const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
			if (event.key === "Delete" || event.key === "Backspace") this.remove(this.chosen);
			else if (event.key === "Enter") this.chosen = (this.chosen + 1) % Math.max(1, this.regions.length);
			else if (way && box) this.shift({ whole: true }, box, 0.02 * way[0], 0.02 * way[1], true);
			else return;
			event.preventDefault();
			event.stopPropagation();
			this.draw();
		});
	}

	draw() {
		const { canvas } = this;
		const { clientWidth: width, clientHeight: height } = canvas;
		if (!width || !this.ends) return;
		const ratio = window.devicePixelRatio || 1;
		canvas.width = width * ratio;
		canvas.height = height * ratio;
		const context = canvas.getContext("2d");
		context.scale(ratio, ratio);
		context.drawImage(this.picture, 0, 0, width, height);
		for (const [at, box] of this.regions.entries()) {
			const [left, top, right, bottom] = this.toScreen(box);
			context.fillStyle = css(box.color, 0.2 + 0.4 * box.opacity);
			context.strokeStyle = at === this.chosen ? "#ffffff" : css(box.color);
			context.lineWidth = at === this.chosen ? 2 : 1.25;
			context.fillRect(left, top, right - left, bottom - top);
			context.strokeRect(left + 0.5, top + 0.5, right - left - 1, bottom - top - 1);
		}
		const box = this.regions[this.chosen];
		this.color.disabled = !box;
		if (!box) return;
		this.color.value = toHex(box.color);
		this.opacity.put(box.opacity);
		const end = box.slopes[1] >= UNBOUNDED ? "up" : `to ${figure(box.slopes[1])}`;
		this.value.textContent =
			`${figure(box.values[0])} to ${figure(box.values[1])} · ` + `${figure(box.slopes[0])} ${end} a mm`;
	}
}
