// The tools in the hand: point, brush, lasso, box, erase, in slices and (points) in the 3D view.

import { toast } from "./messages.js";

export const TOOLS = [
	{
		name: "navigate",
		key: "v",
		title: "Navigate",
		hint: "Drag: crosshair · right drag: zoom · middle drag: pan · wheel: slice",
	},
	{
		name: "point",
		key: "p",
		title: "Point",
		hint: "Click: belongs to the class · right click: does not · Shift + move: look around",
	},
	{
		name: "brush",
		key: "b",
		title: "Brush",
		hint: "Paint: belongs to the class · right button: does not · [ ]: size",
	},
	{
		name: "lasso",
		key: "l",
		title: "Lasso",
		hint: "Draw around what belongs to the class · right button: what does not",
	},
	{
		name: "box",
		key: "r",
		title: "Box",
		hint: "Drag a box over what belongs to the class · right button: what does not",
	},
	{
		name: "erase",
		key: "e",
		title: "Erase marks",
		hint: "Click or drag over marks of the class to take them back · [ ]: size",
	},
	{
		name: "window",
		key: "q",
		title: "Window / level",
		hint: "Drag sideways: contrast · up and down: brightness (Alt + drag with any tool)",
	},
];

const ROUND = ["brush", "erase"]; // a circle under the mouse shows their reach
const FEWEST = 3; // pixels between two places of a path

export class Tools {
	constructor(store, actions, onChange) {
		Object.assign(this, { store, actions, onChange });
		this.live = null; // what is being drawn: {view, kind, places, positive}
		this.hovered = null; // {view, voxel}
	}

	hover(view, voxel = null) {
		this.hovered = view ? { view, voxel } : null;
		this.store.emit("hover");
		if (ROUND.includes(this.store.view.tool)) this.onChange(view);
	}

	/** The right button, or Ctrl, means the opposite of the chosen sign. */
	positive(event) {
		return this.store.view.positive !== (event.button === 2 || event.ctrlKey);
	}

	down(view, event) {
		const { tool } = this.store.view;
		const positive = this.positive(event);
		if (tool === "point") {
			this.actions.point(view.voxel(event), positive, event.timeStamp);
			return;
		}
		if (tool === "erase") {
			this.live = null;
			this.actions.erase(view.voxel(event));
			return;
		}
		const kind = tool === "brush" ? "stroke" : tool;
		this.live = { view, kind, positive, places: [view.place(event)], last: [event.clientX, event.clientY] };
		this.onChange(view);
	}

	move(view, event) {
		this.hovered = { view, voxel: view.voxel(event) };
		if (!this.live) return;
		const { kind, places, last } = this.live;
		if (kind === "box") {
			const { axis, u, v } = view.plane;
			const start = this.live.start ?? (this.live.start = places[0]);
			const end = view.place(event);
			const corner = (a, b) => {
				const place = [...start];
				place[u] = a;
				place[v] = b;
				place[axis] = start[axis];
				return place;
			};
			this.live.places = [
				corner(start[u], start[v]),
				corner(end[u], start[v]),
				corner(end[u], end[v]),
				corner(start[u], end[v]),
			];
		} else if (Math.hypot(event.clientX - last[0], event.clientY - last[1]) >= FEWEST) {
			places.push(view.place(event));
			this.live.last = [event.clientX, event.clientY];
		}
		this.onChange(view);
	}

	up(view, event) {
		if (!this.live) return;
		const { kind, places, positive } = this.live;
		this.live = null;
		this.move(view, event);
		if (kind === "stroke") this.stroke(places, positive);
		else if (kind === "lasso") this.lasso(view, places, positive);
		else this.box(view, places, positive);
		this.onChange(view);
	}

	cancel() {
		this.live = null;
		this.onChange(null);
	}

	stroke(places, positive) {
		const voxels = this.actions.store.server ? inside(places, this.store.server.volume.shape) : [];
		if (!voxels.length) {
			toast("The stroke lies outside of the volume: nothing was marked.", "error");
			return;
		}
		this.store.setCrosshair(voxels[voxels.length - 1]);
		this.actions.prompt("stroke", { voxels, radius: this.store.view.radius }, positive);
	}

	lasso(view, places, positive) {
		if (places.length < 3) {
			toast("A lasso needs a line around something: hold the button and draw.");
			return;
		}
		const { axis, u, v } = view.plane;
		const polygon = places.map(place => [place[u] - 0.5, place[v] - 0.5]); // of voxel centres
		this.actions.prompt("lasso", { axis, index: this.store.view.crosshair[axis], polygon }, positive);
	}

	box(view, places, positive) {
		if (places.length < 4) {
			toast("A box needs two corners: hold the button and drag.");
			return;
		}
		const { shape } = this.store.server.volume;
		const low = [];
		const high = [];
		for (let axis = 0; axis < 3; axis++) {
			const ends = places.map(place => Math.floor(place[axis]));
			low.push(Math.max(0, Math.min(...ends)));
			high.push(Math.min(shape[axis] - 1, Math.max(...ends)));
		}
		if (low.some((value, axis) => value > high[axis])) {
			toast("The box lies outside of the volume: nothing was marked.", "error");
			return;
		}
		this.actions.prompt("box", { low, high }, positive);
	}
}

/** Voxels of a path that lie inside, each once in a row. */
function inside(places, shape) {
	const voxels = [];
	for (const place of places) {
		const voxel = place.map(Math.floor);
		if (voxel.some((value, axis) => value < 0 || value >= shape[axis])) continue;
		if (voxel.join() !== voxels[voxels.length - 1]?.join()) voxels.push(voxel);
	}
	return voxels;
}
