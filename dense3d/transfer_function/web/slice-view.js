// One slice: what the mouse does in it, and the lines, letters and marks over it.

import { SliceCamera } from "./geometry.js";
import { clamp, h } from "./dom.js";
import { iconButton } from "./controls.js";
import { QuickOverlay } from "./quick-overlay.js";
import { paneElement } from "./stage.js";
import { drawSliceMarks } from "./annotations.js";

export class SliceView {
	constructor(plane, store, grid, tools) {
		Object.assign(this, { plane, store, grid, tools });
		this.name = plane.name.toLowerCase();
		this.camera = new SliceCamera(plane, grid);
		this.index = h("span", { class: "pane-index" });
		const expand = iconButton("expand", `Fill the window with the ${this.name} slice, and back (F)`, () =>
			this.onExpand(),
		);
		Object.assign(this, paneElement(this.name, plane.name, this.index, expand));
		this.slider = h("input", {
			type: "range",
			class: "pane-slider",
			min: 0,
			max: grid.shape[plane.axis] - 1,
			step: 1,
			"aria-label": `${plane.name} slice`,
			"data-tip": "Slice (wheel, W and S)",
			oninput: () => this.goTo(Number(this.slider.value)),
		});
		this.element.append(this.slider);
		this.quick = new QuickOverlay(plane, store, grid);
		this.marks.before(this.quick.canvas);
		this.listen();
	}

	/** Place in voxels under the mouse. */
	place(event) {
		const box = this.element.getBoundingClientRect();
		const across = this.store.view.crosshair[this.plane.axis] + 0.5;
		return this.camera.toPlace(
			event.clientX - box.left,
			event.clientY - box.top,
			box.width,
			box.height,
			across,
		);
	}

	/** Voxel under the mouse; its own axis is the slice's. */
	voxel(event) {
		return this.place(event).map(Math.floor);
	}

	goTo(index) {
		const next = [...this.store.view.crosshair];
		next[this.plane.axis] = clamp(index, 0, this.grid.shape[this.plane.axis] - 1);
		this.store.setCrosshair(next);
	}

	step(count) {
		this.goTo(this.store.view.crosshair[this.plane.axis] + count * this.grid.factors[this.plane.axis]);
	}

	listen() {
		const { element } = this;
		element.addEventListener("contextmenu", event => event.preventDefault());
		element.addEventListener("wheel", event => this.wheel(event), { passive: false });
		element.addEventListener("pointerdown", event => this.down(event));
		element.addEventListener("pointermove", event => this.move(event));
		element.addEventListener("pointerup", event => this.up(event));
		element.addEventListener("pointercancel", () => this.cancel());
		element.addEventListener("pointerenter", () => this.onEnter());
		element.addEventListener("pointerleave", () => this.tools.hover(null));
		element.addEventListener("dblclick", event => {
			if (this.store.view.tool === "navigate" && event.target === this.element) this.onExpand();
		});
		this.wheeled = 0;
	}

	wheel(event) {
		event.preventDefault();
		if (event.ctrlKey || event.metaKey) {
			const box = this.element.getBoundingClientRect();
			const factor = Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002));
			this.camera.zoomAt(event.clientX - box.left, event.clientY - box.top, box.width, box.height, factor);
			this.onCamera();
			return;
		}
		this.wheeled += event.deltaMode ? Math.sign(event.deltaY) * 40 : clamp(event.deltaY, -120, 120);
		const steps =
			Math.trunc(this.wheeled / 40) || (Math.abs(event.deltaY) >= 100 ? Math.sign(event.deltaY) : 0);
		if (!steps) return;
		this.wheeled = 0;
		this.step(-Math.sign(steps) * Math.min(3, Math.abs(steps)));
	}

	down(event) {
		if (event.target !== this.element && event.target !== this.marks) return;
		this.element.focus({ preventScroll: true });
		this.element.setPointerCapture(event.pointerId);
		event.preventDefault();
		this.from = [event.clientX, event.clientY];
		const { tool } = this.store.view;
		if (event.button === 1) this.drag = "pan";
		else if (event.altKey || (tool === "window" && event.button === 0)) this.drag = "window";
		else if (tool === "window" || (tool === "navigate" && event.button === 2)) this.drag = "zoom";
		else if (tool === "navigate" || event.shiftKey) {
			this.drag = "cross";
			this.store.setCrosshair(this.place(event));
		} else {
			this.drag = "tool";
			this.tools.down(this, event);
		}
	}

	move(event) {
		const [dx, dy] = this.from ? [event.clientX - this.from[0], event.clientY - this.from[1]] : [0, 0];
		const size = this.element.getBoundingClientRect();
		if (!this.drag) {
			if (event.shiftKey) this.store.setCrosshair(this.place(event));
			this.tools.hover(this, this.voxel(event), event);
			return;
		}
		if (this.drag === "tool") {
			this.tools.move(this, event);
			return;
		}
		this.from = [event.clientX, event.clientY];
		if (this.drag === "cross") this.store.setCrosshair(this.place(event));
		else if (this.drag === "pan") {
			const scale = this.camera.scale(size.width, size.height);
			this.camera.center[0] += dx / scale;
			this.camera.center[1] += dy / scale;
			this.onCamera();
		} else if (this.drag === "zoom") {
			this.camera.zoomAt(size.width / 2, size.height / 2, size.width, size.height, Math.exp(-dy * 0.008));
			this.onCamera();
		} else if (this.drag === "window") this.dragWindow(dx, dy);
	}

	/** Sideways: width; up and down: level. */
	dragWindow(dx, dy) {
		const { low, high } = this.store.view.window;
		const width = clamp((high - low) * Math.exp(dx * 0.006), 0.002, 2);
		const level = (low + high) / 2 + dy * Math.max(high - low, 0.02) * 0.004;
		this.store.set({ window: { low: level - width / 2, high: level + width / 2 } });
	}

	up(event) {
		if (this.drag === "tool") this.tools.up(this, event);
		this.drag = null;
		this.from = null;
	}

	cancel() {
		if (this.drag === "tool") this.tools.cancel();
		this.drag = null;
		this.from = null;
	}

	update() {
		const { axis } = this.plane;
		const index = this.store.view.crosshair[axis];
		this.slider.value = index;
		this.index.textContent = `${index + 1} / ${this.grid.shape[axis]}`;
	}

	annotate(context, size) {
		drawSliceMarks(context, size, this);
	}
}
