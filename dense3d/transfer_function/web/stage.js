// The four panes and when each is drawn: only when something that it shows has changed.

import { h } from "./dom.js";
import { createContext } from "./gl.js";
import { TransferTable } from "./transfer-function.js";
import { SliceRenderer } from "./slice-renderer.js";
import { VolumeRenderer } from "./volume-renderer.js";
import { toast } from "./messages.js";

const ANSWER = 80; // milliseconds that a mark's answer may take to be drawn in one picture with the mark
const QUICK = 60; // milliseconds in which the browser shows a quick overlay, before WebGL has work again
const MOST_PIXELS = 1.5; // a CSS pixel, along a side: finer screens are not worth the rays

export class Stage {
	/** panes: {name: pane}, each with `element`, `annotate(context, size)` and, for slices, `camera`. */
	constructor(store, grid, textures, panes) {
		Object.assign(this, { store, grid, textures, panes });
		this.canvas = document.getElementById("canvas");
		this.dirty = new Set();
		this.marks = new Set(); // panes of which only the annotations changed
		this.waiting = new Map(); // what is done once the answer to a mark is drawn, by name
		this.table = new TransferTable();
		this.facts = { frames: 0, lost: 0, webgl: false };
		this.frame = null;
		this.gl = null;
		this.canvas.addEventListener("webglcontextlost", event => {
			event.preventDefault(); // so that it can come back
			this.facts.lost += 1;
			this.lost = true;
			toast(
				"The browser took the graphics context away; the picture returns when it gives it back.",
				"info",
				3,
			);
		});
		this.canvas.addEventListener("webglcontextrestored", () => this.start(true));
		new ResizeObserver(() => this.layout()).observe(this.canvas.parentElement);
	}

	/** Whether WebGL2 can draw this volume; otherwise `reason` says why not. */
	async start(again = false) {
		this.gl = createContext(this.canvas);
		const largest = Math.max(...this.grid.working);
		const limit = this.gl?.getParameter(this.gl.MAX_3D_TEXTURE_SIZE) ?? 0;
		if (!this.gl) this.reason = "This browser has no WebGL2";
		else if (largest > limit) {
			this.reason = `The graphics card takes ${limit} voxels along a side, the volume has ${largest}`;
			this.gl = null;
		}
		this.facts.webgl = this.gl !== null;
		if (this.gl) {
			this.gl.enable(this.gl.SCISSOR_TEST);
			this.slices = new SliceRenderer(this.gl);
			this.volume = new VolumeRenderer(this.gl, this.store, this.grid, this.textures);
		}
		await this.textures.attach(this.gl);
		this.lost = false;
		if (this.gl) this.volume.setTransfer(this.table);
		if (again) toast("The graphics context is back.", "success");
		this.layout();
		return this.facts.webgl;
	}

	/** Groups of four classes that shaders can look at: volume, occupancy and transfer function are there too. */
	get mostGroups() {
		return this.gl ? this.gl.getParameter(this.gl.MAX_TEXTURE_IMAGE_UNITS) - 3 : Infinity;
	}

	/** Draw nothing any more; the server does. */
	giveUp(reason) {
		this.reason = reason;
		this.gl = this.volume = null;
		this.facts.webgl = false;
		this.textures.attach(null);
	}

	get ratio() {
		return Math.min(MOST_PIXELS, window.devicePixelRatio || 1);
	}

	layout() {
		const box = this.canvas.parentElement.getBoundingClientRect();
		const width = Math.max(1, Math.round(box.width * this.ratio));
		const height = Math.max(1, Math.round(box.height * this.ratio));
		if (this.canvas.width !== width || this.canvas.height !== height) {
			this.canvas.width = width;
			this.canvas.height = height;
		}
		for (const pane of Object.values(this.panes)) {
			const size = pane.element.getBoundingClientRect();
			pane.size = { width: size.width, height: size.height };
			pane.marks.width = Math.round(size.width * this.ratio);
			pane.marks.height = Math.round(size.height * this.ratio);
			const x = Math.round((size.left - box.left) * this.ratio);
			const top = Math.round((size.top - box.top) * this.ratio);
			pane.area = {
				x,
				y: height - top - pane.marks.height,
				width: pane.marks.width,
				height: pane.marks.height,
			};
		}
		this.all();
	}

	all() {
		this.volume?.changed();
		this.redraw(...Object.keys(this.panes));
	}

	redraw(...names) {
		for (const name of names) this.dirty.add(name);
		this.schedule();
	}

	/** Only lines and letters over the picture. */
	remark(...names) {
		for (const name of names) this.marks.add(name);
		this.schedule();
	}

	/** The 3D view shows something else: its next picture comes with its own lines and letters. */
	moved() {
		this.volume?.changed();
		if (this.gl) this.schedule();
		else this.redraw("volume");
	}

	/** Scores, thresholds or visible classes have changed. */
	reclassed() {
		if (this.gl && !this.lost) this.volume.occupied();
		this.redraw("axial", "coronal", "sagittal");
		this.moved();
	}

	/** A mark is on its way: what it changes, and its answer, are drawn at once when that comes soon. */
	hold(most = ANSWER) {
		clearTimeout(this.held);
		this.held = setTimeout(() => this.release(), most);
	}

	/** Scores of a slice come, by update(): at once on a canvas of their own, by WebGL a little later. */
	scored(name, update) {
		const pane = this.panes[name];
		const { textures } = this;
		const seen = this.gl && !this.lost && !document.hidden && textures.volume && pane.area?.width > 1;
		const quick = seen && this.store.view.overlay.on;
		if (quick) pane.quick.remember(textures, this.dirty.has(name));
		update();
		this.dirty.add(name);
		if (!quick) {
			this.schedule();
			return;
		}
		pane.quick.draw(textures, pane.size, pane.camera);
		this.annotate(pane);
		this.marks.delete(name);
		this.hold(QUICK);
	}

	/** Do what changes the page beside the pictures: at once, or after the answer to a mark that is on its way. */
	after(name, action) {
		if (this.held) this.waiting.set(name, action);
		else action();
	}

	release() {
		clearTimeout(this.held);
		this.held = null;
		const actions = [...this.waiting.values()];
		this.waiting.clear();
		for (const action of actions) action();
		this.schedule();
	}

	/** Resolves when nothing waits to be drawn in the slices. */
	async drawn() {
		while (this.held || this.dirty.size) await new Promise(requestAnimationFrame);
	}

	schedule() {
		if (this.held) return;
		this.frame ??= requestAnimationFrame(() => {
			this.frame = null;
			this.draw();
		});
	}

	draw() {
		if (this.lost || this.held || document.hidden) return;
		for (const [name, pane] of Object.entries(this.panes)) {
			const picture = this.dirty.delete(name);
			if ((picture || this.marks.delete(name)) && pane.area?.width > 1) {
				this.marks.delete(name);
				if (picture) this.paint(name, pane);
				this.annotate(pane);
			}
		}
		if (this.gl) this.turn();
	}

	paint(name, pane) {
		this.facts.frames += 1;
		pane.quick?.clear();
		if (!this.gl) pane.fallback?.();
		else if (!this.textures.volume) this.clear(pane.area);
		else if (name === "volume") this.volume.present(pane.area);
		else this.slices.draw(pane.area, pane.size, pane.camera, this.store, this.grid, this.textures);
	}

	clear({ x, y, width, height }) {
		this.gl.bindFramebuffer(this.gl.FRAMEBUFFER, null);
		this.gl.scissor(x, y, width, height);
		this.gl.clearColor(0.039, 0.051, 0.066, 1);
		this.gl.clear(this.gl.COLOR_BUFFER_BIT);
	}

	annotate(pane) {
		const context = pane.marks.getContext("2d", { willReadFrequently: true });
		context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
		context.clearRect(0, 0, pane.size.width, pane.size.height);
		pane.annotate(context, pane.size);
	}

	/** One step of the 3D view at a time: moving pictures first, the full one when nothing moves. */
	async turn() {
		const { volume } = this;
		const pane = this.panes.volume;
		if (!pane.area || pane.area.width < 2 || volume.busy) return;
		if (volume.waiting) {
			volume.draw(pane.area);
			this.paint("volume", pane);
			this.annotate(pane);
			clearTimeout(this.resting);
			this.resting = setTimeout(() => this.schedule(), 200);
		} else if (await volume.refine(pane.area)) this.redraw("volume");
		else if (volume.waiting) this.schedule();
	}
}

/** Element of a pane with its canvas for annotations and its heading. */
export function paneElement(name, title, ...children) {
	const marks = h("canvas", { class: "marks", "aria-hidden": "true" });
	const element = h(
		"section",
		{ class: `pane ${name}`, tabIndex: 0, "aria-label": title },
		marks,
		h("div", { class: "pane-head" }, h("span", { class: "pane-title" }, title), ...children),
	);
	return { element, marks };
}
