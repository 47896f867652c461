// The 3D pane: turning, shifting, zooming, and clicks on what a ray hits.

import { clamp } from "./dom.js";
import { iconButton } from "./controls.js";
import { orbit, project } from "./vectors.js";
import { paneElement } from "./stage.js";
import { pick } from "./picking.js";
import { toast } from "./messages.js";

// views from the six sides: name, azimuth, elevation
const SIDES = [
	["A", 0, 0, "front"],
	["P", 180, 0, "back"],
	["R", 90, 0, "right"],
	["L", -90, 0, "left"],
	["S", 0, 89.9, "head"],
	["I", 0, -89.9, "feet"],
];

export class VolumeView {
	constructor(store, grid, textures, actions, table) {
		Object.assign(this, { store, grid, textures, actions, table });
		this.name = "volume";
		const expand = iconButton("expand", "Fill the window with the 3D view, and back (F)", () =>
			this.onExpand(),
		);
		Object.assign(this, paneElement("volume", "3D", expand));
		const sides = document.createElement("div");
		sides.className = "sides";
		for (const [letter, azimuth, elevation, name] of SIDES) {
			const button = document.createElement("button");
			Object.assign(button, { type: "button", textContent: letter });
			button.setAttribute("aria-label", `Look from the ${name}`);
			button.dataset.tip = `Look from the patient's ${name}`;
			button.addEventListener("click", () => this.turn({ azimuth, elevation, pan: [0, 0] }));
			sides.append(button);
		}
		this.element.append(sides);
		this.listen();
	}

	turn(fields) {
		this.store.set({ camera: { ...this.store.view.camera, ...fields } });
	}

	listen() {
		const { element } = this;
		element.addEventListener("contextmenu", event => event.preventDefault());
		element.addEventListener("pointerenter", () => this.onEnter());
		element.addEventListener("pointerdown", event => {
			if (event.target !== element && event.target !== this.marks) return;
			element.focus({ preventScroll: true });
			element.setPointerCapture(event.pointerId);
			event.preventDefault();
			this.from = [event.clientX, event.clientY];
			this.start = [...this.from];
			this.button = event.button;
		});
		element.addEventListener("pointermove", event => this.move(event));
		element.addEventListener("pointerup", event => {
			if (!this.from) return;
			const still = Math.hypot(event.clientX - this.start[0], event.clientY - this.start[1]) < 4;
			this.from = null;
			if (still && this.button !== 1) this.click(event);
		});
		element.addEventListener("pointercancel", () => (this.from = null));
		element.addEventListener(
			"wheel",
			event => {
				event.preventDefault();
				const factor = Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0012));
				this.turn({ zoom: clamp(this.store.view.camera.zoom * factor, 0.3, 20) });
			},
			{ passive: false },
		);
	}

	move(event) {
		if (!this.from) return;
		const dx = event.clientX - this.from[0];
		const dy = event.clientY - this.from[1];
		if (Math.hypot(event.clientX - this.start[0], event.clientY - this.start[1]) < 4) return;
		this.from = [event.clientX, event.clientY];
		const { camera } = this.store.view;
		const side = Math.min(this.size.width, this.size.height);
		if (this.button === 1 || event.shiftKey) {
			const reach = 2 / side / camera.zoom;
			this.turn({ pan: [camera.pan[0] + dx * reach, camera.pan[1] - dy * reach] });
		} else if (this.button === 2) {
			this.turn({ zoom: clamp(camera.zoom * Math.exp(-dy * 0.008), 0.3, 20) });
		} else {
			this.turn({
				azimuth: ((camera.azimuth + (dx * 220) / side + 540) % 360) - 180,
				elevation: clamp(camera.elevation + (dy * 220) / side, -89.9, 89.9),
			});
		}
	}

	get rays() {
		return orbit(this.store.view.camera, this.grid.box, this.size.width / this.size.height);
	}

	/** Voxel of the opened volume that is seen at a point of the pane, or null. */
	pick(x, y) {
		const s = (2 * x) / this.size.width - 1;
		const t = 1 - (2 * y) / this.size.height;
		const hit = pick(this.rays, s, t, this.store, this.grid, this.textures, this.table());
		if (!hit) return null;
		// the middle of the block of voxels that makes up one of the working grid
		return hit.map((value, axis) => {
			const factor = this.grid.factors[axis];
			return Math.min(this.grid.shape[axis] - 1, value * factor + Math.floor(factor / 2));
		});
	}

	async click(event) {
		const box = this.element.getBoundingClientRect();
		const place = [event.clientX - box.left, event.clientY - box.top];
		let voxel;
		try {
			voxel = this.askedPick ? await this.askedPick(...place) : this.pick(...place);
		} catch (error) {
			toast(error.message, "error");
			return;
		}
		const { tool, positive } = this.store.view;
		if (!voxel) {
			toast("Nothing is hit there: click on what the 3D view shows.", "error", 4);
		} else if (tool === "navigate" || tool === "window" || event.shiftKey) this.store.setCrosshair(voxel);
		else if (tool === "erase") this.actions.erase(voxel);
		else this.actions.point(voxel, positive !== (event.button === 2 || event.ctrlKey));
	}

	update() {}

	annotate(context, size) {
		const view = this.rays;
		const half = this.grid.box.map(value => value / 2);
		const at = point => {
			const [s, t, depth] = project(view, point);
			return [((s + 1) / 2) * size.width, ((1 - t) / 2) * size.height, depth];
		};
		this.edges(context, at, half);
		const middle = at([0, 0, 0])[2];
		context.font = "600 12px system-ui, sans-serif";
		context.textAlign = "center";
		context.textBaseline = "middle";
		for (const [letter, axis, sign] of [
			["R", 0, 1],
			["L", 0, -1],
			["A", 1, 1],
			["P", 1, -1],
			["S", 2, 1],
			["I", 2, -1],
		]) {
			const point = [0, 0, 0];
			point[axis] = sign * (half[axis] + 0.08 * view.radius);
			const [x, y, depth] = at(point);
			context.globalAlpha = depth > middle + 0.15 * view.radius ? 0.3 : 0.85;
			context.fillStyle = "#c3ccd6";
			context.fillText(letter, x, y);
		}
		context.globalAlpha = 1;
		const cross = this.grid.toTexture(this.store.view.crosshair.map(value => value + 0.5));
		const [x, y] = at(cross.map((value, axis) => (value - 0.5) * this.grid.box[axis]));
		context.strokeStyle = "rgba(232,237,242,.75)";
		context.lineWidth = 1.25;
		context.beginPath();
		context.arc(x, y, 5, 0, 2 * Math.PI);
		context.stroke();
	}

	edges(context, at, half) {
		const { low, high } = this.store.view.clip;
		const end = bits =>
			[0, 1, 2]
				.map(axis => ((bits >> axis) & 1 ? high[axis] : low[axis]) - 0.5)
				.map((value, axis) => 2 * value * half[axis]);
		context.strokeStyle = "rgba(143,158,176,.28)";
		context.lineWidth = 1;
		context.beginPath();
		for (let a = 0; a < 8; a++) {
			for (let axis = 0; axis < 3; axis++) {
				if ((a >> axis) & 1) continue;
				const [x, y] = at(end(a));
				const [u, v] = at(end(a | (1 << axis)));
				context.moveTo(x, y);
				context.lineTo(u, v);
			}
		}
		context.stroke();
	}
}
